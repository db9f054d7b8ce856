// The fields of the main path, by their names in the form's description.
export const F = { model: "pretrained_model_name_or_path", images: "image_dir", identifier: "identifier", kind: "class_name", captions: "caption_source", reg: "reg_dir", name: "output_name", repeats: "num_repeats" };
export const OWN = [F.images, F.identifier, F.kind, F.name, F.model, F.reg, "concepts", "settings", "is_off"]; // what no "reset" and no preset takes away
