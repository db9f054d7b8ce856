// Numbers as people read them.
import { language } from "./texts.js";

// A number as people type it, with a point or a decimal comma; NaN for any other text.
export function readNumber(text) {
    const number = text.trim() === "" ? NaN : Number(text.trim().replace(/^([+-]?\d+),(\d+)$/, "$1.$2"));
    return Number.isFinite(number) ? number : NaN;
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
