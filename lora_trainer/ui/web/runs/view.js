// The Runs view: the list, or the page of the run that the address names.
import { runsView } from "./list.js";
import { runView } from "./run.js";
import { t } from "./texts.js";

export default { name: "runs", title: () => t("runs"), draw: (signal, id) => (id ? runView(signal, id) : runsView(signal)) };
