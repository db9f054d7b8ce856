// Numbers as people read them.
import { language } from "./texts.js";

const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;
const IN_THOUSANDS = /^[+-]?\d{1,3}([, '’_])\d{3}(\1\d{3})*$/;
// Full-width digits, commas and points, as Korean and Japanese keyboards write them, as a program reads them.
export const plain = (text) => text.normalize("NFKC").replaceAll("−", "-").trim();

// A number as people type it, with a point or a decimal comma, or a whole one with commas or spaces between its thousands, as
// the page writes them. NaN for any other text, and where it can be meant in two ways.
export function readNumber(text, isWhole = false) {
    const typed = plain(text);
    if (isUnclear(typed, isWhole)) return NaN;
    const pointed = isWhole && IN_THOUSANDS.test(typed) ? typed.replace(/[^\d+-]/g, "") : isWhole ? typed : typed.replace(/^([+-]?\d*),(\d+(e[+-]?\d+)?)$/i, "$1.$2");
    const number = NUMBER.test(pointed) ? Number(pointed) : NaN;
    return Number.isFinite(number) ? number : NaN;
}

// Whether it can be thousands as well as a fraction: "1,500" where that may have one, "1.500" where it may not.
export const isUnclear = (text, isWhole = false) => (isWhole ? /^[+-]?[1-9]\d{0,2}(\.\d{3})+$/ : /^[+-]?[1-9]\d{0,2}(,\d{3})+$/).test(plain(text));

// What is typed as a program reads it where it is a number, else as it is.
export function numberText(text) {
    const number = readNumber(text);
    return Number.isNaN(number) ? text : String(number);
}

const locale = (english) => (language === "ko" ? "ko-KR" : english);

export function formatBytes(count) {
    if (!Number.isFinite(count)) return "–";
    const unit = Math.min(4, Math.max(0, Math.floor(Math.log2(Math.max(count, 1)) / 10)));
    const value = count / 1024 ** unit;
    return `${value >= 100 || unit === 0 ? Math.round(value) : value.toFixed(1)} ${["B", "KB", "MB", "GB", "TB"][unit]}`;
}

export function formatDuration(seconds) {
    if (!Number.isFinite(seconds)) return "–";
    const total = Math.max(0, Math.round(seconds));
    const [hours, minutes] = [Math.floor(total / 3600), Math.floor(total / 60) % 60];
    const units = language === "ko" ? ["시간", "분", "초"] : ["h", "min", "s"];
    if (hours) return `${hours} ${units[0]} ${minutes} ${units[1]}`;
    if (minutes) return `${minutes} ${units[1]} ${total % 60} ${units[2]}`;
    return `${total} ${units[2]}`;
}

export const formatNumber = (value) => (Number.isFinite(value) ? value.toLocaleString(locale("en-US")) : "–");

export function formatShort(value) {
    if (!Number.isFinite(value)) return "–";
    if (value === 0) return "0";
    const size = Math.abs(value);
    return size < 0.001 || size >= 1e6 ? value.toExponential(2).replace(/\.?0+e/, "e").replace("e+", "e") : String(Number(value.toPrecision(4)));
}

export const formatDate = (seconds) => new Date(seconds * 1000).toLocaleString(locale("en-GB"), { dateStyle: "medium", timeStyle: "short" });
