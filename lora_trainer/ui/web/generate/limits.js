// Which numbers a picture can be drawn with; the Generate view and the comparison of saved files ask alike.
import { readNumber } from "../base/numbers.js";
import { t } from "./texts.js";

// [lowest, highest, is whole]
export const LIMITS = { steps: [1, 150, true], cfg_scale: [0, 30, false], width: [64, 2048, true], height: [64, 2048, true], seed: [-1, 2 ** 32 - 1, true], batch_size: [1, 16, true], batch_count: [1, 100, true], clip_skip: [1, 12, true] };

// {value, wrong}: the number that is typed for `name`, and what is to be said of it, "" when it is right.
export function readSetting(name, text) {
    const [low, high, isWhole] = LIMITS[name], isSide = ["width", "height"].includes(name);
    const value = readNumber(text, isWhole);
    const isRight = value >= low && value <= high && (!isWhole || Number.isInteger(value)) && (!isSide || value % 8 === 0);
    return { value, wrong: isRight ? "" : t(isSide ? "want_size" : "want_range", { low, high }) };
}
