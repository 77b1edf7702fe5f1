// Before and after on the nodes that work on faces: fills ComfyUI's compare widget when such a node has run.

import { api } from "../../scripts/api.js";
import { app } from "../../scripts/app.js";
import { lastRuns } from "./runs/last_runs.js";

/** A picture as the server names it. @typedef {Record<string, string>} Picture */

/** What the server sends when the node has run. @typedef {Partial<Record<"a_images" | "b_images" | "images", Picture[]>>} Output */

const KINDS = new Set(["VisageRestoreFaces", "VisageRefineFaces", "VisageRefineFacesDiffusers"]);

/** Pixels by which a new node grows for the widget, which takes what height there is. */
const ROOM = 340;

/** The height of a setting on the classic canvas, by which ComfyUI makes a new node large enough. */
const ROW = 24;

/**
 * The comparison of each node.
 * @type {WeakMap<object, Comparison>}
 */
const comparisons = new WeakMap();

/** @param {Picture} picture */
const address = (picture) => api.apiURL(`/view?${new URLSearchParams(picture)}${app.getRandParam()}`);

class Comparison {
  #node;
  #widget;
  isShown = false;

  /**
   * @param {any} node of ComfyUI's graph
   * @param {any} widget of ComfyUI, for two pictures
   */
  constructor(node, widget) {
    this.#node = node;
    this.#widget = widget;
  }

  /** @param {Output | null} output */
  show(output) {
    this.isShown = true;
    this.#widget.value = {
      beforeImages: (output?.a_images ?? []).map(address),
      afterImages: (output?.b_images ?? []).map(address),
    };
    this.#widget.callback?.(this.#widget.value);
    // The classic canvas keeps the pictures of the run before where this one has none.
    if (!output?.images) Object.assign(this.#node, { images: undefined, imgs: undefined });
  }
}

app.registerExtension({
  name: "visage.compare",
  ...lastRuns(comparisons),

  /** @param {any} node of ComfyUI's graph */
  nodeCreated(node) {
    const widget = node.widgets?.find((/** @type {any} */ each) => each.name === "compare_view");
    if (!KINDS.has(node.constructor.comfyClass) || !widget) return;
    // A result among the inputs would make the server do the work again.
    widget.options.serialize = false;
    // Nodes 2.0 draws the widget, the classic canvas the pictures themselves: each leaves out the other.
    widget.hidden = true;
    node.hideOutputImages = true;
    if (globalThis.LiteGraph?.vueNodesMode) {
      // Nodes 2.0 hides the advanced settings, and would give their room to the prompts.
      const hidden = node.widgets.filter((/** @type {any} */ each) => each.options.advanced).length;
      node.setSize([node.size[0], node.size[1] - hidden * ROW + ROOM]);
    }
    const comparison = new Comparison(node, widget);
    comparisons.set(node, comparison);
    const { onExecuted } = node;
    node.onExecuted = function (/** @type {Output | null} */ output) {
      onExecuted?.call(this, output);
      comparison.show(output);
    };
  },
});
