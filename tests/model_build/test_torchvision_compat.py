"""torchvision imports beside any torch."""

import importlib.util

import pytest

from model_build import torchvision_compat


def test_resnet50_can_be_made():
    torchvision = torchvision_compat.import_torchvision()
    assert torchvision.models.ResNet50_Weights.DEFAULT.name == "IMAGENET1K_V2"


def test_operators_that_exist_are_left_alone():
    torchvision_compat.import_torchvision()
    # Now they exist, from torchvision's extension or from us: a second declaration would be an error in torch.
    assert torchvision_compat._declare_missing_operators.__wrapped__() is None


def test_missing_torchvision_is_told_by_name(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(ModuleNotFoundError) as caught:
        torchvision_compat._load_extension()
    assert caught.value.name == "torchvision"
