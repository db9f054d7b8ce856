// What is painted on a canvas: pink and opaque is hidden, transparent is learned. Steps are drawn anew for each picture of it, so
// that taking one back costs no memory.
const PINK = "rgb(220 0 130)";
const ALL = (canvas) => [0, 0, canvas.width, canvas.height];

// A stroke of a round brush that hides or shows.
export const brushed = (isHiding, radius, point) => ({ kind: "stroke", isHiding, radius, points: [point] });

// Draws `steps` over the mask `base` (an image, or null: nothing is shown yet); returns the share that is learned, 0 to 1.
export function hidden(canvas, base, steps) {
    const pen = canvas.getContext("2d", { willReadFrequently: true });
    pen.globalCompositeOperation = "source-over";
    pen.clearRect(...ALL(canvas));
    if (base) lay(canvas, pen, base);
    else fill(canvas, pen);
    for (const step of steps) DRAW[step.kind](canvas, pen, step);
    return 1 - mean(canvas, pen);
}

// The mask as base64 of a PNG: white is learned.
export function exported(canvas) {
    const flat = document.createElement("canvas");
    [flat.width, flat.height] = [canvas.width, canvas.height];
    const pen = flat.getContext("2d");
    pen.drawImage(canvas, 0, 0);
    pen.globalCompositeOperation = "source-in";
    pen.fillStyle = "black";
    pen.fillRect(...ALL(flat));
    pen.globalCompositeOperation = "destination-over";
    pen.fillStyle = "white";
    pen.fillRect(...ALL(flat));
    return flat.toDataURL("image/png").split(",")[1];
}

const DRAW = {
    stroke(canvas, pen, { isHiding, radius, points }) {
        pen.globalCompositeOperation = isHiding ? "source-over" : "destination-out";
        Object.assign(pen, { fillStyle: PINK, strokeStyle: PINK, lineWidth: 2 * radius, lineCap: "round", lineJoin: "round" });
        pen.beginPath();
        pen.arc(points[0].x, points[0].y, radius, 0, 2 * Math.PI); // a line to where one is draws nothing
        pen.fill();
        pen.beginPath();
        for (const point of points) pen.lineTo(point.x, point.y);
        pen.stroke();
    },
    invert(canvas, pen) {
        pen.globalCompositeOperation = "xor";
        pen.fillStyle = PINK;
        pen.fillRect(...ALL(canvas));
    },
    fill,
};

function fill(canvas, pen) {
    pen.globalCompositeOperation = "source-over";
    pen.fillStyle = PINK;
    pen.fillRect(...ALL(canvas));
}

// A mask as it lies on the disk: its red, on black, says how much is learned.
function lay(canvas, pen, base) {
    pen.fillStyle = "black";
    pen.fillRect(...ALL(canvas));
    pen.drawImage(base, ...ALL(canvas));
    const pixels = pen.getImageData(...ALL(canvas)), { data } = pixels;
    for (let place = 0; place < data.length; place += 4) [data[place], data[place + 1], data[place + 2], data[place + 3]] = [220, 0, 130, 255 - data[place]];
    pen.putImageData(pixels, 0, 0);
}

// How opaque the canvas is, 0 to 1: every seventh pixel tells, from all columns.
function mean(canvas, pen) {
    const { data } = pen.getImageData(...ALL(canvas));
    let sum = 0, count = 0;
    for (let place = 3; place < data.length; place += 28, count++) sum += data[place];
    return sum / 255 / count;
}
