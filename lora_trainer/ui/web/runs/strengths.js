// The strengths of a comparison, as people type them.
import { plain, readNumber } from "../base/numbers.js";

const MOST = 10; // of either sign, as the host takes them
const isNumber = (text) => /^[+-]?(\d+\.?\d*|\.\d+)$/.test(text);

// "0.6, 0.8 1" or "0,6; 0,8" -> {numbers, wrong: the part that is none, isFar: it is one, but beyond what can be asked for,
// isGuess: a comma stood within a part, so that it is worth saying what was read}. Spaces and semicolons stand between
// strengths, and commas do where a space follows or points are written; else a comma is a decimal one: 0,8 is never 0 and 8.
export function readStrengths(text) {
    const parts = plain(text).split(/[\s;]+|,(?=\s|$)/).filter(Boolean), isGuess = parts.some((part) => part.includes(","));
    const numbers = [];
    for (const part of parts.flatMap((one) => (one.includes(".") ? one.split(",") : [one]))) {
        const number = isNumber(part.replace(",", ".")) ? readNumber(part) : NaN;
        const isFar = Math.abs(number) > MOST;
        if (Number.isNaN(number) || isFar) return { numbers: [], wrong: part, isFar, isGuess };
        numbers.push(number);
    }
    return { numbers: [...new Set(numbers)], wrong: "", isFar: false, isGuess };
}
