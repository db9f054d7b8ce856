// 24x24 line drawings, one path each.
const ICONS = {
    upload: "M12 16V4m0 0L7 9m5-5l5 5M4 16v3a1 1 0 001 1h14a1 1 0 001-1v-3",
    folder: "M3 6a1 1 0 011-1h5l2 2h9a1 1 0 011 1v10a1 1 0 01-1 1H4a1 1 0 01-1-1z",
    close: "M6 6l12 12M18 6L6 18",
    reset: "M4 10a8 8 0 112 7M4 4v6h6",
    undo: "M9 7L4 12l5 5M4 12h10a6 6 0 016 6",
    redo: "M15 7l5 5-5 5M20 12H10a6 6 0 00-6 6",
    copy: "M9 9h10v11H9zM5 15V4h10",
    check: "M5 12l5 5L20 7",
    search: "M11 4a7 7 0 110 14 7 7 0 010-14zm5 12l4 4",
    dice: "M6 4h12a2 2 0 012 2v12a2 2 0 01-2 2H6a2 2 0 01-2-2V6a2 2 0 012-2zM8.8 8.4a.4.4 0 100 .8.4.4 0 000-.8zM15.2 14.8a.4.4 0 100 .8.4.4 0 000-.8zM12 11.6a.4.4 0 100 .8.4.4 0 000-.8z",
    reuse: "M4 12a8 8 0 0114-5l2 2m0-5v5h-5M20 12a8 8 0 01-14 5l-2-2m0 5v-5h5",
    swap: "M7 4v15m0 0l-3-3m3 3l3-3M17 20V5m0 0l-3 3m3-3l3 3",
    download: "M12 4v12m0 0l-5-5m5 5l5-5M4 20h16",
    up: "M12 19V5m0 0l-6 6m6-6l6 6",
    down: "M12 5v14m0 0l-6-6m6 6l6-6",
    back: "M15 5l-7 7 7 7",
    warning: "M12 4l9 16H3zM12 10v4m0 3h.01",
    info: "M12 3a9 9 0 110 18 9 9 0 010-18zm0 8v5m0-8h.01",
    chip: "M7 7h10v10H7zM10 7V4m4 3V4m-4 16v-3m4 3v-3M7 10H4m3 4H4m16-4h-3m3 4h-3",
    person: "M12 4a4 4 0 110 8 4 4 0 010-8zM4 20c1-4 4-6 8-6s7 2 8 6",
    brush: "M14 4l6 6-8 6-4-4zM8 12l-1 2c-2 0-3 2-4 6 4-1 6-2 6-4l2-1",
    box: "M12 3l8 4.5v9L12 21l-8-4.5v-9zM4 7.5l8 4.5 8-4.5M12 12v9",
};
export function icon(name) {
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    for (const [key, value] of Object.entries({ viewBox: "0 0 24 24", class: "lt-icon", "aria-hidden": "true" })) svg.setAttribute(key, value);
    const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
    path.setAttribute("d", ICONS[name]);
    svg.append(path);
    return svg;
}
