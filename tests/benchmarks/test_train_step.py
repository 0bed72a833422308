import importlib
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
train_step = importlib.import_module("bench_train_step")


def profile(**lines):
    """What jax's profiler gives, from the nanoseconds of named operations on named lines."""
    rows = [
        SimpleNamespace(
            name=line, events=[SimpleNamespace(name=name, duration_ns=ns) for name, ns in events]
        )
        for line, events in lines.items()
    ]
    return SimpleNamespace(planes=[SimpleNamespace(lines=rows)])


def test_operations_of_all_threads_add_up_by_their_kind():
    threads = {
        "tf_XLAEigen/1": [("ynn_fusion.12", 30), ("dot_4", 5), ("while.3", 900)],
        "tf_XLAEigen/2": [("ynn_fusion", 12.0), ("ThunkExecutor::Execute", 900)],
        "python": [("ynn_fusion.12", 900)],
    }
    assert train_step.operations(profile(**threads)) == {"ynn_fusion": 42, "dot": 5}


@pytest.mark.parametrize(
    ("kernel", "kind"),
    [
        ("void cutlass::Kernel<cutlass_80_tensorop>(Params)", "void cutlass::Kernel"),
        ("sm80_xmma_fprop_tf32f32_tf32f32_nhwc", "sm80_xmma_fprop"),
        ("sm90_gemm_bf16bf16_tn", "sm90_gemm"),
        ("loop_add_fusion_17", "loop_add_fusion"),
    ],
)
def test_a_gpus_kernel_is_known_by_what_it_does(monkeypatch, kernel, kind):
    monkeypatch.setattr(train_step, "GPU", True)
    streams = {"Stream #7(Compute)": [(kernel, 3)], "tf_XLAEigen/1": [("dot", 900)]}
    assert train_step.operations(profile(**streams)) == {kind: 3}


@pytest.mark.slow
def test_without_the_rival_our_own_figures_are_measured_all_the_same(
    tiny, tmp_path, monkeypatch, capsys
):
    values = tiny.model_dump(mode="json", include={"model": True, "data": {"image_size", "length"}})
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(values))
    words = ["bench_train_step", "--quick", "--presets", tmp_path / "tiny.yaml"]
    monkeypatch.setattr(sys, "argv", [*map(str, words), "--json", str(tmp_path / "told.json")])
    monkeypatch.setitem(sys.modules, "torch", None)
    assert train_step.main() == 0
    (gate,) = json.loads((tmp_path / "told.json").read_text())["gates"]
    assert gate["name"] == "end_to_end" and gate["ratio"] > 0
    assert "left out with its gate" in capsys.readouterr().out
