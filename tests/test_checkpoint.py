from __future__ import annotations

import json
import pickle
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import footage
from footage import files
from footage.config.registry import METHODS
from footage.errors import ModelError
from footage.models.base import Batch, PlainEngine
from footage.models.card import read_info
from footage.models.checkpoint import (
    begin_with,
    compact,
    load_model,
    read_state,
    restore_nets,
    restore_optimizers,
    save_state,
    training_state,
    write_model,
)
from footage.models.requests import VideoRequest
from tests.models import save_tiny_model, tiny_config

REQUEST = VideoRequest(1, (1.0, 0.0))


def edit(folder: Path, change: dict[str, object], *, sign: bool) -> None:
    """Alter model.json, with or without a matching digest."""
    value = json.loads((folder / "model.json").read_text())
    value |= change
    if sign:
        value.pop("digest")
        value["digest"] = files.json_digest(value)
    (folder / "model.json").write_text(json.dumps(value))


def test_round_trip(tmp_path: Path) -> None:
    info = save_tiny_model(tmp_path)
    sampler, loaded = load_model(tmp_path)
    assert loaded == info == read_info(tmp_path)
    assert sampler.clip == info.config.clip
    again, _ = load_model(tmp_path)
    torch.testing.assert_close(next(sampler.segments([REQUEST])), next(again.segments([REQUEST])), rtol=0, atol=0)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == sorted(["README.md", "model.json", info.weights])
    assert "walk" in (tmp_path / "README.md").read_text()


def test_saving_again_replaces_the_weights(tmp_path: Path) -> None:
    first = save_tiny_model(tmp_path, seed=0)
    second = save_tiny_model(tmp_path, seed=1)
    assert first.weights != second.weights
    assert [p.name for p in tmp_path.glob("*.safetensors")] == [second.weights]
    load_model(tmp_path)


def test_missing_model_says_where_to_look(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no model.json"):
        load_model(tmp_path)


def test_newer_format_is_refused(tmp_path: Path) -> None:
    save_tiny_model(tmp_path)
    edit(tmp_path, {"schema": 2, "made_by": "footage 9.0", "new_key": 1}, sign=True)
    with pytest.raises(ModelError, match=r"footage 9.0.*upgrade footage"):
        load_model(tmp_path)


@pytest.mark.parametrize("change", [{"labels": ["a", "b"]}, {"fps": 1.0}, {"weights": "../evil.safetensors"}])
def test_altered_description_is_refused(tmp_path: Path, change: dict[str, object]) -> None:
    save_tiny_model(tmp_path)
    edit(tmp_path, change, sign=False)
    with pytest.raises(ModelError, match="altered"):
        load_model(tmp_path)


def test_signed_but_senseless_descriptions_are_refused(tmp_path: Path) -> None:
    info = save_tiny_model(tmp_path)
    for change, words in (
        ({"weights": "../evil.safetensors"}, "not a file of the folder"),
        ({"unknown": 1}, "does not describe a model"),
        ({"config": {"preset": "x"}}, "does not describe a model"),
        ({"weights": "gone.safetensors"}, "missing"),
    ):
        write_model(tmp_path, info, load_file(next(tmp_path.glob("*.safetensors"))))
        edit(tmp_path, change, sign=True)
        with pytest.raises(ModelError, match=words):
            load_model(tmp_path)


def test_rates_that_no_model_has_are_refused_with_the_reason(tmp_path: Path) -> None:
    save_tiny_model(tmp_path)
    for fps in (0, 0.0, -25.0, 1e-300, 1e300, 10**400, "25", None, True):
        edit(tmp_path, {"fps": fps}, sign=True)
        with pytest.raises(ModelError, match=r"does not describe a model: (model\.)?fps is "):
            read_info(tmp_path)
    text = (tmp_path / "model.json").read_text()
    for fps in ("NaN", "1e999", "-Infinity"):
        (tmp_path / "model.json").write_text(text.replace('"fps": true', f'"fps": {fps}'))
        with pytest.raises(ModelError, match="holds a number that is not finite"):
            read_info(tmp_path)


def test_generate_says_why_it_refuses_a_model(tmp_path: Path) -> None:
    info = save_tiny_model(tmp_path / "rate")
    edit(tmp_path / "rate", {"fps": 0}, sign=True)
    tensors = load_file(tmp_path / "rate" / info.weights)
    name = next(iter(tensors))
    write_model(tmp_path / "nan", info, {**tensors, name: tensors[name] * float("nan")})
    for model, words in (("rate", r"fps is 0"), ("nan", f'"{name}" holds numbers that are not finite')):
        with pytest.raises(ModelError, match=words):
            footage.generate(tmp_path / model, tmp_path / "out", count=1)
        assert not (tmp_path / "out").exists()


def test_tampered_weights_are_refused(tmp_path: Path) -> None:
    info = save_tiny_model(tmp_path)
    path = tmp_path / info.weights
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(ModelError, match="SHA-256 differs"):
        load_model(tmp_path)


def test_weights_of_other_networks_are_refused(tmp_path: Path) -> None:
    info = save_tiny_model(tmp_path)
    tensors = load_file(tmp_path / info.weights)
    name = next(iter(tensors))
    for altered, words in (
        ({**tensors, "more": torch.zeros(1)}, 'also holds "more"'),
        ({k: v for k, v in tensors.items() if k != name}, f'lacks "{name}"'),
        ({**tensors, name: torch.zeros(7)}, r"is \(7,\), not"),
        ({**tensors, name: tensors[name].to(torch.complex64)}, "is of torch.complex64, not of torch.float32"),
        *(
            (
                {**tensors, name: torch.full_like(tensors[name], wrong, dtype=kind)},
                f'"{name}" holds numbers that are not',
            )
            for wrong, kind in ((float("nan"), torch.float32), (float("-inf"), torch.float16), (1e300, torch.float64))
        ),
    ):
        write_model(tmp_path, info, altered)
        with pytest.raises(ModelError, match=words):
            load_model(tmp_path)


def test_loading_never_runs_code(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (exec, (f"open({str(tmp_path / 'ran')!r}, 'w')",))

    info = save_tiny_model(tmp_path)
    path = tmp_path / info.weights
    path.write_bytes(pickle.dumps(Evil()))
    write_json = json.loads((tmp_path / "model.json").read_text())
    write_json["weights_sha256"] = files.file_digest(path)
    edit(tmp_path, write_json, sign=True)
    with pytest.raises(ModelError, match="cannot be read"):
        load_model(tmp_path)
    state = tmp_path / "state.pt"
    torch.save({"nets": Evil()}, state)
    with pytest.raises(ModelError, match="cannot be resumed from"):
        read_state(state)
    assert not (tmp_path / "ran").exists()


def test_interrupted_save_leaves_the_old_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_tiny_model(tmp_path, seed=0)
    before = next(load_model(tmp_path)[0].segments([REQUEST]))

    def full(*_: object) -> None:
        raise OSError(28, "no space left on device")

    for target in ("footage.files.write_json", "footage.files.write_bytes"):
        with monkeypatch.context() as patch:
            patch.setattr(target, full)
            with pytest.raises(OSError, match="no space"):
                save_tiny_model(tmp_path, seed=1)
        torch.testing.assert_close(next(load_model(tmp_path)[0].segments([REQUEST])), before, rtol=0, atol=0)


@pytest.mark.parametrize("preset", ["stream-64", "lens-8", "upscale-x2"])
def test_a_model_in_half_precision_is_half_as_large_and_makes_the_same(tmp_path: Path, preset: str) -> None:
    old = save_tiny_model(tmp_path / "old", preset=preset)
    result = compact(tmp_path / "old", tmp_path / "new", "passed-on", ["clips of mine (CC0)"])
    new = read_info(tmp_path / "new")
    assert result.info == new and new.name == "passed-on" and new.config == old.config
    assert new.extra == {"compacted_from": old.weights_sha256, "sources": ["clips of mine (CC0)"]}
    assert "| source | clips of mine (CC0) |" in (tmp_path / "new" / "README.md").read_text()
    assert files.file_digest(tmp_path / "new" / new.weights) == new.weights_sha256 != old.weights_sha256
    before, after = (load_file(tmp_path / name / info.weights) for name, info in (("old", old), ("new", new)))
    assert before.keys() == after.keys()
    for key, value in after.items():
        assert value.dtype == (torch.float16 if value.ndim > 1 else torch.float32), key
        torch.testing.assert_close(value.float(), before[key], rtol=2**-11, atol=2**-24)
    assert sum(value.nbytes for value in after.values()) < 0.75 * sum(value.nbytes for value in before.values())
    assert result.bytes == (tmp_path / "new" / new.weights).stat().st_size < result.bytes_before
    samplers = [load_model(tmp_path / name)[0] for name in ("old", "new")]
    reals = torch.linspace(-1, 1, 3 * 2 * 8 * 32 * 32).view(2, 3, 8, 32, 32)
    labels = torch.tensor([0, 1]) if new.labels else None
    made = [next(iter(sampler.preview(reals, labels).values())) for sampler in samplers]
    assert made[0].dtype == made[1].dtype == torch.float32
    change = (made[1] - made[0]).abs() * 127.5
    assert change.mean() < 0.3 and change.max() < 3 and 0 <= result.mean_change < 0.3
    again = compact(tmp_path / "new", tmp_path / "new")
    assert again.info.weights_sha256 == new.weights_sha256 and again.mean_change == 0
    assert again.info.extra == new.extra
    method = METHODS[new.config.method](new.config, len(new.labels))
    begin_with(tmp_path / "new", method)
    assert all(value.dtype == torch.float32 for value in method.nets.state_dict().values() if value.is_floating_point())


def test_a_model_that_half_precision_would_change_is_left_alone(tmp_path: Path) -> None:
    info = save_tiny_model(tmp_path / "old", preset="upscale-x2")
    tensors = load_file(tmp_path / "old" / info.weights)
    widest = max((key for key, value in tensors.items() if value.ndim > 1), key=lambda key: tensors[key].numel())
    write_model(tmp_path / "old", info, tensors | {widest: tensors[widest] * 1e9})
    with pytest.raises(ModelError, match=r"makes changes by .* leave it as it is"):
        compact(tmp_path / "old", tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_state_round_trip(tmp_path: Path) -> None:
    config = tiny_config()

    def make(seed: int) -> object:
        torch.manual_seed(seed)
        method = METHODS["gan"](config, 0)
        method.build_optimizers()
        return method

    def step(method: object) -> None:
        rng = torch.Generator().manual_seed(5)
        method.step(Batch(torch.rand(2, 3, 8, 32, 32, generator=rng), None, rng, 2), 2, PlainEngine())  # type: ignore

    one, two = make(0), make(1)
    step(one)
    save_state(tmp_path / "s.pt", training_state(one), {"clips_seen": 2, "seconds": 0.5, "attempt": 0})
    state = read_state(tmp_path / "s.pt")
    assert state["progress"] == {"clips_seen": 2, "seconds": 0.5, "attempt": 0}
    restore_nets(state, two)
    restore_optimizers(state, two)
    step(one)
    step(two)
    for key, value in one.nets.state_dict().items():  # type: ignore[attr-defined]
        torch.testing.assert_close(two.nets.state_dict()[key], value, rtol=0, atol=0)  # type: ignore[attr-defined]


def test_damaged_state_names_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "s.pt").write_bytes(b"not a state")
    with pytest.raises(ModelError, match="give another --out"):
        read_state(tmp_path / "s.pt")


def test_safetensors_of_a_newer_weights_name(tmp_path: Path) -> None:
    info = save_tiny_model(tmp_path)
    renamed = replace(info, name="other")
    save_file(load_file(tmp_path / info.weights), tmp_path / "weights-stale.safetensors")
    write_model(tmp_path, renamed, load_file(tmp_path / info.weights))
    assert [p.name for p in tmp_path.glob("*.safetensors")] == [info.weights], "stale weights are removed"


def test_a_run_may_begin_with_a_model_that_lacks_parts_and_with_no_other(tmp_path: Path) -> None:
    save_tiny_model(tmp_path, preset="convlstm-64", task__past=4, net__surprise=False)
    grown = METHODS["predict"](tiny_config("convlstm-64", task__past=4, net__surprise=True), 0)
    torch.nn.init.ones_(grown.nets["generator"].notice.weight)
    begin_with(tmp_path, grown)
    (weights,) = (load_file(path) for path in tmp_path.glob("*.safetensors"))
    for net in (grown.nets["generator"], grown.averages["generator"].module):
        found = net.state_dict()
        assert found.keys() - {key.removeprefix("generator.") for key in weights} == {"notice.weight"}
        for key, value in weights.items():
            assert torch.equal(found[key.removeprefix("generator.")], value), key
    assert (grown.nets["generator"].notice.weight == 1).all(), "what the model lacks is left as it was"
    others: tuple[dict[str, object], ...] = ({"net__width": 6}, {"net__copies": 0}, {"net__layers": 3})
    for knobs in others:
        other = METHODS["predict"](tiny_config("convlstm-64", task__past=4, **knobs), 0)
        with pytest.raises(ModelError, match="is needed: give a model like convlstm-64 with the same --net"):
            begin_with(tmp_path, other)
