# footage in a container, with CUDA as the default index has it: docker build -t footage .
# For processors alone, much smaller: docker build -t footage --build-arg TORCH_INDEX=… . with PyTorch's CPU index, see pytorch.org.
# Use:  docker run --rm -it -v "$PWD:/work" -p 8000:8000 footage train my-videos --minutes 60
#       docker run --rm -it -v "$PWD:/work" --gpus all footage train my-videos --minutes 60
ARG PYTHON=3.12
FROM python:${PYTHON}-slim AS build
WORKDIR /source
COPY pyproject.toml README.md LICENSE CHANGELOG.md ./
COPY src ./src
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:${PYTHON}-slim
ARG TORCH_INDEX=
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
