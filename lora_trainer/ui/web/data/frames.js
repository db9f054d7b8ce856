// Rectangles in a picture: {x, y, width, height} in its pixels. `size` is {width, height} of the picture; a `ratio` is width by height, 0: any.
const LEAST = 16; // pixels that are left of a picture

// The largest of this ratio, in the middle.
export function shaped(size, ratio) {
    const width = ratio ? Math.min(size.width, size.height * ratio) : size.width;
    const height = ratio ? width / ratio : size.height;
    return { x: (size.width - width) / 2, y: (size.height - height) / 2, width, height };
}

export function clamped(frame, size) {
    const width = Math.min(frame.width, size.width), height = Math.min(frame.height, size.height);
    return { x: Math.min(Math.max(0, frame.x), size.width - width), y: Math.min(Math.max(0, frame.y), size.height - height), width, height };
}

export const moved = (frame, x, y, size) => clamped({ ...frame, x: frame.x + x, y: frame.y + y }, size);

// One corner ([1, 1]: right, down) goes to the point `at`, and the opposite one stays.
export function resized(frame, [right, down], at, ratio, size) {
    const fixed = { x: right ? frame.x : frame.x + frame.width, y: down ? frame.y : frame.y + frame.height };
    const room = { width: right ? size.width - fixed.x : fixed.x, height: down ? size.height - fixed.y : fixed.y };
    let width = Math.min(room.width, Math.max(Math.min(LEAST, size.width), right ? at.x - fixed.x : fixed.x - at.x));
    let height = Math.min(room.height, Math.max(Math.min(LEAST, size.height), down ? at.y - fixed.y : fixed.y - at.y));
    if (ratio) {
        width = Math.min(Math.max(width, height * ratio), room.width, room.height * ratio);
        height = width / ratio;
    }
    return { x: right ? fixed.x : fixed.x - width, y: down ? fixed.y : fixed.y - height, width, height };
}

// What the training keeps of a frame: it is scaled until it covers the bucket, and cut to it in the middle.
export function trained(frame, bucket) {
    if (!bucket) return frame;
    const inner = shaped(frame, bucket[0] / bucket[1]);
    return { ...inner, x: frame.x + inner.x, y: frame.y + inner.y };
}
