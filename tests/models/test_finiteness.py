import torch

from lwft_bench.models.finiteness import CHUNK_ELEMENTS, not_finite


def test_only_tensors_with_what_is_no_number_are_named() -> None:
    late = torch.zeros(CHUNK_ELEMENTS + 2, dtype=torch.bfloat16)
    late[-1] = float("inf")
    named = {
        "sound": torch.ones(3),
        "nan": torch.tensor([[1.0, float("nan")]]),
        "late": late,
        "packed": torch.zeros(4, dtype=torch.uint8),
    }
    assert not_finite(named.items()) == ["nan", "late"]
    assert not_finite([("packed", named["packed"])]) == []
