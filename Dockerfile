# footage in a container. CPU:  docker build -t footage .
# CUDA: docker build -t footage:cuda --build-arg TORCH_INDEX= .   (the default index has builds with CUDA for Linux)
# Use:  docker run --rm -it -v "$PWD:/work" -p 8000:8000 footage train my-videos --minutes 60
#       docker run --rm -it -v "$PWD:/work" --gpus all footage:cuda train my-videos --minutes 60
ARG PYTHON=3.12
FROM python:${PYTHON}-slim AS build
WORKDIR /source
COPY pyproject.toml README.md LICENSE CHANGELOG.md ./
COPY src ./src
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:${PYTHON}-slim
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ARG EXTRAS=studio,provenance
COPY --from=build /wheels /wheels
RUN if [ -n "$TORCH_INDEX" ]; then pip install --no-cache-dir --index-url "$TORCH_INDEX" torch; fi \
    && pip install --no-cache-dir "$(echo /wheels/footage-*.whl)[$EXTRAS]" \
    && rm -r /wheels \
    && useradd --create-home footage
USER footage
WORKDIR /work
ENV PYTHONUNBUFFERED=1
EXPOSE 8000
HEALTHCHECK NONE
ENTRYPOINT ["footage"]
CMD ["doctor"]
