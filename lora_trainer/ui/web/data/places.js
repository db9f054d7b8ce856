// Where one was in each data set while the page is open, and where another view sends one: id -> {first, filter, chosen, held}.
export const places = new Map();
