// The Runs view: the list, the page of the run that the address names, or several runs side by side (ID,ID).
import { compareView } from "./compare.js";
import { runsView } from "./list.js";
import { runView } from "./run.js";
import { t } from "./texts.js";

const draw = (signal, id) => (id.includes(",") ? compareView(signal, id.split(",")) : id ? runView(signal, id) : runsView(signal));
export default { name: "runs", title: () => t("runs"), draw: (signal, id) => draw(signal, id || "") };
