"""Labels are read as given and written the same everywhere."""

import pytest

from model_build import labels
from model_build.errors import ContractError

LFS_POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 100\n"


def test_line_ends_do_not_matter(tmp_path):
    (tmp_path / "unix").write_bytes("crane\ncr\u00e8me br\u00fbl\u00e9e\n".encode())
    (tmp_path / "windows").write_bytes("crane\r\ncr\u00e8me br\u00fbl\u00e9e".encode())
    assert labels.read(tmp_path / "unix") == labels.read(tmp_path / "windows") == ("crane", "crème brûlée")


@pytest.mark.parametrize(
    "content",
    [b"\xef\xbb\xbfcrane\nheron\n", b"crane\r\nheron\r\n\r\n", b"crane\nheron\n\n \n\t\n", b"crane\rheron\r"],
    ids=["byte order mark", "Windows, and an empty line", "empty lines last", "old Mac"],
)
def test_what_editors_leave_behind_is_no_label(tmp_path, content):
    (tmp_path / "labels").write_bytes(content)
    assert labels.read(tmp_path / "labels") == ("crane", "heron")


def test_write_then_read(tmp_path):
    labels.write(tmp_path / "labels", ("a", "b\u2028still b"))
    assert labels.read(tmp_path / "labels") == ("a", "b\u2028still b")
    assert (tmp_path / "labels").read_bytes().endswith(b"still b\n")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"a\n\nb\n", "an empty line 2"),
        (b"", "are empty"),
        (b"\xef\xbb\xbf\r\n \r\n", "are empty"),
        ("a\nb\n".encode("utf-16"), "UTF-8"),
        (LFS_POINTER, "Git LFS pointer"),
    ],
)
def test_unusable_labels_are_refused(tmp_path, content, reason):
    (tmp_path / "labels").write_bytes(content)
    with pytest.raises(ContractError, match=reason):
        labels.read(tmp_path / "labels")


def test_missing_file_is_refused(tmp_path):
    with pytest.raises(ContractError, match="cannot be read"):
        labels.read(tmp_path / "none")


def test_imagenet_labels_are_the_weights_own():
    from model_build.torchvision_compat import import_torchvision

    weights = import_torchvision().models.ResNet50_Weights.DEFAULT
    assert list(labels.read(labels.IMAGENET)) == weights.meta["categories"]


def test_imagenet_labels_are_the_examples(assets):
    assert labels.IMAGENET.read_bytes() == (assets / "models" / "imagenet_classes.txt").read_bytes()
