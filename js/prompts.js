// The two prompts of Refine Faces: the classic canvas lets them shrink to two lines, since it shows every setting of
// the node, and with more lines all of it fits into a window only where its letters are too small to be drawn.

import { app } from "../../scripts/app.js";

const KINDS = new Set(["VisageRefineFaces", "VisageRefineFacesDiffusers"]);
const NAMES = new Set(["prompt", "negative_prompt"]);

/** The least height of a prompt in pixels. */
const HEIGHT = 40;

app.registerExtension({
  name: "visage.prompts",

  /** @param {any} node of ComfyUI's graph */
  nodeCreated(node) {
    if (!KINDS.has(node.constructor.comfyClass)) return;
    for (const widget of node.widgets) if (NAMES.has(widget.name)) widget.options.getMinHeight = () => HEIGHT;
  },
});
