// The package that a tool needs and that is not installed.
import { get } from "../base/host.js";

// A Package of docs/api.md, or null.
export async function lackingPackage(tool) {
    if (!tool?.package) return null;
    const { packages } = await get("packages");
    return packages.find((one) => one.name === tool.package && !one.installed) || null;
}
