// The views, in the order of their tabs; the first is shown where the address names none.
//
// A view is the default export of its view.js: {name, title(), draw(signal, id)}, and isOffered() where it is not always there.
// `draw` gives the element of the view, or of the one thing in it that the address names (`id`); all that it starts ends with
// the signal.
import data from "./data/view.js";
import generate from "./generate/view.js";
import runs from "./runs/view.js";
import tools from "./tools/view.js";
import train from "./train/view.js";

export const VIEWS = [
    train,
    data,
    runs,
    generate,
    tools,
];
