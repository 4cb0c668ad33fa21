"""Which pixels of a mask file are the mask, in the ways that masks are stored."""

import io

import cv2
import numpy as np
import pytest
from dicom_files import dicom, packed
from PIL import Image
from png_files import grey_png, with_chunk
from pydicom.encaps import encapsulate
from pydicom.uid import JPEG2000, JPEGBaseline8Bit, JPEGExtended12Bit

from ums.data.decode import decode_mask
from ums.data.mask import mask_of

LABELS = np.zeros((24, 32), np.uint8)
LABELS[4:20, 3:13], LABELS[4:20, 18:30] = 1, 2
LEFT, BOTH = LABELS == 1, LABELS > 0
MANY = np.arange(24 * 32).reshape(24, 32)


def png(image):
    return cv2.imencode(".png", image)[1].tobytes()


def jpeg(image):
    return cv2.imencode(".jpg", image)[1].tobytes()


def low_jpeg(low, high):
    """A JPEG of two near values, decoded to exactly two, some of them at the wrong place."""
    lungs = np.zeros((256, 256), bool)
    lungs[40:200, 30:110] = lungs[40:200, 140:220] = True
    file = io.BytesIO()
    Image.fromarray(np.where(lungs, high, low).astype(np.uint8)).save(file, "JPEG", quality=75)
    return file.getvalue()


def pillow(image, mode=None, palette=None, **options):
    image, file = Image.fromarray(image), io.BytesIO()
    image = image.convert(mode) if mode else image
    if palette:
        image.putpalette(palette)
    image.save(file, "PNG", **options)
    return file.getvalue()


def labelled(*values, kind=np.uint8):
    """A PNG of one of the values, or colours with blue first, for each label."""
    return png(np.array(values, kind)[LABELS])


def with_alpha(alpha, *colours):
    colour = np.array(colours, np.uint8)[LABELS]
    return png(np.dstack([colour, alpha.astype(np.uint8)]))


def read(data):
    return decode_mask(data, "m.png")


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize("values", [(0, 1), (0, 255), (3, 250), (254, 255), (1, 2), (7, 0)])
def test_of_two_values_the_higher_is_the_mask(values, kind):
    low, high = values
    data = labelled(low, high, low, kind=kind)
    np.testing.assert_array_equal(read(data), LEFT if high > low else ~LEFT)


@pytest.mark.parametrize("value", [1, 100, 128, 129, 256, 4095, 65535])
def test_any_second_value_of_16_bits_is_the_mask(value):
    np.testing.assert_array_equal(read(labelled(0, value, 0, kind=np.uint16)), LEFT)


@pytest.mark.parametrize("values", [(0, 1, 2), (0, 2, 1), (0, 127, 255), (0, 9, 65535)])
def test_all_labels_beside_the_background_are_the_mask(values):
    kind = np.uint8 if max(values) < 256 else np.uint16
    np.testing.assert_array_equal(read(labelled(*values, kind=kind)), BOTH)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize(
    ("colours", "mask"),
    [
        (([0, 0, 0], [0, 0, 255], [255, 0, 0]), BOTH),
        (([0, 0, 0], [1, 0, 0], [0, 0, 1]), BOTH),
        (([0, 0, 0], [255, 255, 255], [0, 0, 255]), BOTH),
        (([90, 90, 90], [0, 255, 0], [90, 90, 90]), LEFT),
        (([255, 255, 255], [0, 0, 0], [255, 255, 255]), ~LEFT),
    ],
)
def test_colours_are_labels_too(colours, mask, kind):
    np.testing.assert_array_equal(read(labelled(*colours, kind=kind)), mask)


def test_a_stray_pixel_does_not_erase_the_rest():
    image = np.where(LEFT, 100, 0).astype(np.uint8)
    image[0, 0] = 255
    assert read(png(image)).sum() == LEFT.sum() + 1


@pytest.mark.parametrize("colour", [0, 90, 255])
@pytest.mark.parametrize("high", [255, 7])
def test_where_the_colour_is_constant_alpha_is_the_mask(colour, high):
    np.testing.assert_array_equal(read(with_alpha(LEFT * high, *[[colour] * 3] * 3)), LEFT)


@pytest.mark.parametrize("alpha", [0, 128, 255])
def test_a_constant_alpha_is_ignored(alpha):
    data = with_alpha(np.full(LABELS.shape, alpha), [0, 0, 0], [9, 9, 9], [0, 0, 9])
    np.testing.assert_array_equal(read(data), BOTH)


def test_transparent_pixels_are_background_whatever_their_colour():
    image = np.dstack([MANY, MANY % 7, MANY, 255 * BOTH]).astype(np.uint8)
    image[BOTH, :3] = np.array([[0, 0, 0], [0, 0, 255], [255, 0, 0]])[LABELS[BOTH]]
    np.testing.assert_array_equal(read(png(image)), BOTH)


def test_a_mask_half_transparent_over_black_is_read_by_its_colour():
    data = with_alpha(np.where(BOTH, 128, 255), [0, 0, 0], [0, 0, 255], [0, 255, 0])
    np.testing.assert_array_equal(read(data), BOTH)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_a_palette_is_read_by_its_colours(bits):
    colours = [0, 0, 0, 200, 0, 0] if bits == 1 else [0, 0, 0, 200, 0, 0, 0, 0, 200]
    labels, mask = (LEFT.astype(np.uint8), LEFT) if bits == 1 else (LABELS, BOTH)
    np.testing.assert_array_equal(read(pillow(labels, "P", colours, bits=bits)), mask)


def test_a_transparent_colour_of_a_palette_is_background():
    data = pillow(LABELS, "P", [255, 255, 255, 200, 0, 0, 0, 0, 200], transparency=0)
    np.testing.assert_array_equal(read(data), BOTH)


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_the_transparent_value_of_a_grey_png_is_background(bits):
    white = 2**bits - 1
    data = grey_png(np.where(LEFT, 0, white), bits)  # a black lung on a transparent white
    data = with_chunk(data, b"tRNS", white.to_bytes(2, "big"))
    np.testing.assert_array_equal(read(data), LEFT)


@pytest.mark.parametrize("bits", [2, 4, 8, 16])
def test_labels_of_any_depth_are_the_mask(bits):
    np.testing.assert_array_equal(read(grey_png(LABELS, bits)), BOTH)


@pytest.mark.parametrize("mode", ["1", "LA", "I;16"])
def test_masks_of_one_bit_with_alpha_and_of_16_bits_are_read(mode):
    image = {"1": LEFT, "I;16": LEFT.astype(np.uint16)}.get(mode, LEFT.astype(np.uint8) * 255)
    data = pillow(image, "LA") if mode == "LA" else pillow(image)
    np.testing.assert_array_equal(read(data), LEFT)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.int16])
def test_a_mask_in_a_dicom_is_read_by_its_stored_values(kind):
    np.testing.assert_array_equal(read(dicom(LABELS.astype(kind))), BOTH)
    inverted = dicom((5 - LABELS).astype(kind), PhotometricInterpretation="MONOCHROME1")
    np.testing.assert_array_equal(read(inverted), BOTH)


INVERTED = {"PhotometricInterpretation": "MONOCHROME1"}
MARGIN = np.arange(32) > 29
DICOMS = {
    "labels, inverted": (dicom(LABELS, **INVERTED), BOTH),
    "labels of 16 bits, inverted": (dicom(LABELS.astype(np.uint16) * 9, **INVERTED), BOTH),
    "two values, inverted": (dicom(np.where(LEFT, 0, 255).astype(np.uint8), **INVERTED), LEFT),
    "down from white, inverted": (dicom(255 - LABELS, **INVERTED), BOTH),
    "all bits, signed": (dicom(-BOTH.astype(np.int8)), BOTH),
    "all 16 bits, signed": (dicom(-BOTH.astype(np.int16)), BOTH),
    "padding": (dicom(np.where(MARGIN, 255, LABELS).astype(np.uint8), PixelPaddingValue=255), BOTH),
    "padding of two values": (
        dicom(np.where(MARGIN, 9, BOTH).astype(np.uint8), PixelPaddingValue=9),
        BOTH,
    ),
    "padding for background": (dicom(LABELS, PixelPaddingValue=0), BOTH),
    "signed padding": (
        dicom(np.where(MARGIN, -9, LABELS.astype(np.int16)), PixelPaddingValue=-9),
        BOTH,
    ),
}


@pytest.mark.parametrize("name", DICOMS)
def test_the_background_of_a_mask_in_a_dicom_is_found(name):
    data, mask = DICOMS[name]
    np.testing.assert_array_equal(read(data), mask)


def test_a_jpeg_of_exactly_two_values_is_a_mask():
    mask = np.zeros((32, 32), np.uint8)
    mask[8:24, 16:] = 255
    np.testing.assert_array_equal(read(jpeg(mask)), mask > 0)


def test_colours_in_a_dicom_are_in_their_order():
    red_on_blue = np.where(LEFT[..., None], [200, 0, 0], [0, 0, 200]).astype(np.uint8)
    np.testing.assert_array_equal(read(dicom(red_on_blue)), LEFT)


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("background", [(255, 255, 255), (128, 128, 128), (70, 130, 180)])
@pytest.mark.parametrize("labels", [(1, 1), (1, 2)])
def test_index_0_of_a_palette_is_the_background_whatever_its_colour(labels, background, bits):
    colours = [*background, 200, 0, 0, 0, 0, 200]
    indices = np.array([0, *labels], np.uint8)[LABELS]
    np.testing.assert_array_equal(read(pillow(indices, "P", colours, bits=bits)), BOTH)


@pytest.mark.parametrize(
    "colours", [[0] * 9, [0, 0, 0, 9, 9, 9, 9, 9, 9], [0] * 3 + [200] + [0] * 5]
)
def test_labels_of_one_colour_in_a_palette_are_told_apart(colours):
    np.testing.assert_array_equal(read(pillow(LABELS, "P", colours)), BOTH)


def test_black_in_a_palette_is_the_background_whatever_its_index():
    data = pillow(LABELS, "P", [200, 0, 0, 0, 0, 0, 0, 0, 200])
    np.testing.assert_array_equal(read(data), ~LEFT)


def test_a_mask_may_have_a_label_for_each_rib():
    ribs = np.zeros((88, 60), np.uint8)
    for k in range(20):
        ribs[4 + k // 2 * 8 :, :][:4, 5 + k % 2 * 30 :][:, :20] = k + 1
    np.testing.assert_array_equal(read(png(ribs)), ribs > 0)


ROOM = np.zeros_like(LABELS)
IMPOSSIBLE = {
    "all black": (png(ROOM), "every pixel is 0"),
    "all white": (png(ROOM + 255), "every pixel is 255"),
    "one value of 16 bits": (png(ROOM.astype(np.uint16) + 300), "every pixel is 300"),
    "one colour": (labelled(*[[255, 0, 0]] * 3), r"every pixel is \(0, 0, 255\)"),
    "all transparent": (with_alpha(ROOM, *[[0] * 3] * 3), "every pixel is 0"),
    "a photograph": (png((MANY % 256).astype(np.uint8)), "more than 25 values"),
    "a photograph of 4 bits": (png((MANY % 16 * 17).astype(np.uint8)), "16 values, like a photo"),
    "a photograph in colour": (png(np.dstack([MANY, MANY // 3, MANY]).astype(np.uint8)), "25 val"),
    "a photograph in alpha": (with_alpha(MANY % 256, *[[0] * 3] * 3), "more than 25 values"),
    "no background": (labelled(5, 9, 12), "5, 9, 12, none of them the background"),
    "colours without one": (labelled([9, 0, 0], [0, 9, 0], [0, 0, 9]), r"\(9, 0, 0\), none of"),
    "two of one brightness": (
        labelled([0, 0, 114], [0, 0, 114], [299, 0, 0], kind=np.uint16),
        "eq",
    ),
    "red and green of one brightness": (
        labelled([0, 299, 0], [0, 299, 0], [0, 0, 587], kind=np.uint16),
        "equally bright",
    ),
    "white and a colour": (labelled([255] * 3, [0, 0, 200], [0, 0, 200]), "either of which"),
    "a dark film": (png(np.minimum(1 + MANY // 90, 8).astype(np.uint8) - (MANY < 9)), "9 values"),
    "bands of 20 levels": (png(np.clip(MANY // 20 - 12, 0, 20).astype(np.uint8)), "21 values"),
    "labels in a JPEG": (low_jpeg(0, 1), "0, 1 are too near each other"),
    "bright labels in a JPEG": (low_jpeg(254, 255), "254, 255 are too near each other"),
    "black beside transparent": (
        with_alpha(255 * BOTH, [9, 9, 9], [0, 0, 0], [255, 0, 0]),
        "transparent and black",
    ),
    "smoothed by a JPEG": (jpeg(255 * LEFT.astype(np.uint8)), "blurred by lossy compression"),
    "a photograph as JPEG": (jpeg((MANY % 256).astype(np.uint8)), "more than 25 values"),
}


@pytest.mark.parametrize("name", IMPOSSIBLE)
def test_what_cannot_be_a_mask_is_refused_by_name(name):
    data, why = IMPOSSIBLE[name]
    with pytest.raises(ValueError, match=rf"^m\.png: no mask: .*{why}"):
        read(data)


def disc(*values):
    y, x = np.mgrid[:48, :48] - 23.5
    return np.array(values, np.uint8)[(x**2 + y**2 < 400).astype(int) + (x**2 + y**2 < 100)]


def pillow_jpeg2000(image, **options):
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG2000", **options)
    return file.getvalue()


LOSSY = {
    "baseline": (JPEGBaseline8Bit, jpeg(disc(0, 255, 255))),
    "extended": (JPEGExtended12Bit, jpeg(disc(0, 255, 255))),
    "JPEG 2000": (JPEG2000, pillow_jpeg2000(disc(0, 127, 255))),
}


@pytest.mark.parametrize("name", LOSSY)
def test_a_lossy_mask_in_a_dicom_must_have_two_values(name):
    syntax, content = LOSSY[name]
    data = dicom(disc(0, 127, 255), syntax, encapsulate([content]))
    with pytest.raises(ValueError, match=r"^m\.png: no mask: .*(lossy compression|13 values)"):
        read(data)


def test_a_lossy_mask_in_a_dicom_of_two_values_is_read():
    content = encapsulate([pillow_jpeg2000(disc(0, 255, 255))])
    data = dicom(disc(0, 255, 255), JPEG2000, content)
    np.testing.assert_array_equal(read(data), disc(0, 1, 1))


@pytest.mark.parametrize(("bright", "clear"), [(63, False), (64, True), (255, True)])
def test_two_lossy_values_must_differ_by_a_quarter_of_the_range(bright, clear):
    image = bright * LEFT.astype(np.uint8)
    if clear:
        np.testing.assert_array_equal(mask_of(image, lossy=True), LEFT)
    else:
        with pytest.raises(ValueError, match=f"0, {bright} are too near each other"):
            mask_of(image, lossy=True)


@pytest.mark.parametrize(
    "name", ["JPEGLSNearLossless", "JPEG2000", "JPEGLSLossless", "RLELossless"]
)
def test_the_syntax_decides_whether_labels_may_be_blurred(name, tmp_path):
    data = packed(dicom(disc(0, 1, 2)), name, tmp_path)
    if name in ("JPEGLSLossless", "RLELossless"):
        return np.testing.assert_array_equal(read(data), disc(0, 1, 1))
    with pytest.raises(ValueError, match="lossy compression"):
        read(data)


@pytest.mark.parametrize(("stated", "refused"), [("01", True), ("00", False), ("", False)])
def test_labels_of_an_image_that_was_once_lossy_are_refused(stated, refused):
    data = dicom(disc(0, 1, 2), LossyImageCompression=stated)
    if not refused:
        return np.testing.assert_array_equal(read(data), disc(0, 1, 1))
    with pytest.raises(ValueError, match="lossy compression"):
        read(data)
