// What this browser remembers from visit to visit, and what one of its windows does besides.
const NAME = (key) => "lora-trainer." + key;
const read = (storage, key) => JSON.parse(storage.getItem(NAME(key)));

export function remember(key, value) {
    try {
        localStorage.setItem(NAME(key), JSON.stringify(value));
    } catch { /* private window or full: the page works without memory */ }
}

export function recall(key, otherwise = null) {
    try {
        return read(localStorage, key) ?? otherwise;
    } catch {
        return otherwise;
    }
}

// The same, but a window finds its own again after a reload, whatever another has left meanwhile; a new one gets the newest.
export function rememberHere(key, value) {
    remember(key, value);
    try {
        sessionStorage.setItem(NAME(key), JSON.stringify(value));
    } catch { /* as above */ }
}

export function recallHere(key, otherwise = null) {
    try {
        return read(sessionStorage, key) ?? recall(key, otherwise);
    } catch {
        return recall(key, otherwise);
    }
}
