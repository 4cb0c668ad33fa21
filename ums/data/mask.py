"""Which pixels of a decoded image are the mask."""

import numpy as np

MAX_LABELS = 24
"""The values a mask may have beside its background: both lungs, the heart and the ribs, say."""

_CLEAR = 64_000
"""The difference of brightness, in thousandths, that compression with loss does not blur."""

_RULE = f"a mask has exactly two values, or 0 for the background and up to {MAX_LABELS} others"


def mask_of(image: np.ndarray, lossy: bool = False) -> np.ndarray:
    """Return the mask that an image shows, (H, W) uint8 of 0 and 1.

    Of exactly two values or colours, the brighter is the mask; but white and a colour could be either
    way round. Of more, 0 or black is the background, in 5 % of the image at least, and all others
    are the mask, the labels of its parts. Fully transparent pixels are background.
    Where all others have one colour, the alpha channel is taken for the image; elsewhere, and where
    it is constant, it plays no further part.

    Args:
        image: The values as stored, 0 for black: (H, W), (H, W, 3) with blue first, or (H, W, 4)
            with the alpha channel last.
        lossy: The image was compressed with loss: values that differ little may be one, so it must
            have exactly two, far from each other.

    Raises:
        ValueError: It cannot be a mask: it has one value only, too many, or several of which none
            is the background.
    """
    if image.ndim == 3:
        image = _without_alpha(image)
    codes = image if image.ndim == 2 else _codes(image)
    found = _distinct(codes, MAX_LABELS + 2)
    names = {code: _colour(code, image) for code in found}
    listed = ", ".join(str(name) for name in sorted(names.values()))
    if len(found) == 1:
        raise ValueError(f"no mask: every pixel is {listed}; {_RULE}")
    if len(found) > MAX_LABELS + 1:
        raise ValueError(f"no mask: more than {MAX_LABELS + 1} values, like a photograph; {_RULE}")
    if len(found) > 2 and lossy:
        raise ValueError(
            f"no mask: {len(found)} values, blurred by lossy compression; it should have exactly two"
        )
    if len(found) > 2 and 0 not in found:
        raise ValueError(f"no mask: {listed}, none of them the background; {_RULE}")
    if len(found) == 2:
        _check_two(sorted(names.values(), key=_brightness), np.iinfo(image.dtype).max, lossy)
    elif _is_photograph(codes, found):
        raise ValueError(f"no mask: {len(found)} values, like a photograph; {_RULE}")
    background = 0 if len(found) > 2 else min(found, key=lambda code: _brightness(names[code]))
    return np.asarray((codes != background).view(np.uint8))


def _check_two(names: list[int | tuple[int, int, int]], white: int, lossy: bool) -> None:
    """Raise ``ValueError`` unless one of two values, the darker first, must be the background."""
    dark, bright = names
    difference = _brightness(bright) - _brightness(dark)
    if difference == 0:
        raise ValueError(f"no mask: {dark}, {bright} are equally bright; {_RULE}")
    if lossy and difference < _CLEAR:
        raise ValueError(
            f"no mask: {dark}, {bright} are too near each other, blurred by lossy compression"
        )
    if bright == (white,) * 3 and dark != (0, 0, 0):
        raise ValueError(f"no mask: {dark}, {bright}, either of which may be the background")


def _is_photograph(codes: np.ndarray, found: list[int]) -> bool:
    """Return whether 0 is rare or, of many values, mostly beside the next: labels border on it."""
    background = codes == 0
    if len(found) <= 13:
        return bool(background.mean() < 0.05)
    beside = codes[:, 1:][background[:, :-1] & ~background[:, 1:]]
    return bool(background.mean() < 0.25 or np.mean(beside == sorted(found)[1]) > 0.5)


def _without_alpha(image: np.ndarray) -> np.ndarray:
    """Return (H, W), or (H, W, 3) if it has colours."""
    colour = image[..., :3]
    if image.shape[2] == 4 and (image[..., 3] != image[0, 0, 3]).any():
        alpha = image[..., 3]
        visible = colour[alpha > 0]
        if (visible == visible[0]).all():
            return alpha
        if len(visible) < alpha.size:
            if not visible.any(axis=1).all():
                raise ValueError("no mask: transparent and black pixels beside those of a colour")
            colour = np.where(alpha[..., None] > 0, colour, 0)
    grey = (colour == colour[..., :1]).all()
    return colour[..., 0] if grey else colour


def _codes(image: np.ndarray) -> np.ndarray:
    """Return one number for each colour of (H, W, 3), (H, W); 0 for black."""
    bits = 8 * image.itemsize
    blue, green, red = np.moveaxis(image.astype(np.uint32 if bits == 8 else np.uint64), 2, 0)
    return np.asarray(blue | green << bits | red << 2 * bits)


def _colour(code: int, image: np.ndarray) -> int | tuple[int, int, int]:
    """Return the value, or (red, green, blue), that has this number in ``image``."""
    if image.ndim == 2:
        return code
    bits = 8 * image.itemsize
    blue, green, red = (code >> k * bits & 2**bits - 1 for k in range(3))
    return red, green, blue


def _brightness(colour: int | tuple[int, int, int]) -> int:
    """Return the luminance in thousandths."""
    if isinstance(colour, int):
        return 1000 * colour
    return sum(weight * part for weight, part in zip((299, 587, 114), colour, strict=True))


def _distinct(codes: np.ndarray, most: int) -> list[int]:
    """Return the values of an array, ``most`` at most; faster than sorting if they are few."""
    rest = codes.ravel()
    found: list[int] = []
    while rest.size and len(found) < most:
        found.append(int(rest[0]))
        rest = rest[rest != rest[0]]
    return found
