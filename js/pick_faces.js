// Pick Faces on ComfyUI's page: the picture as a widget of the node. It writes the text widget "choice", which is what
// the workflow keeps and what the server reads, and shows whatever stands there.

import { api } from "../../scripts/api.js";
import { app } from "../../scripts/app.js";
import { FacePicker } from "./pick/picker.js";
import { textsIn } from "./pick/texts.js";
import { lastRuns } from "./runs/last_runs.js";

/** @typedef {import("./pick/picker.js").Shown} Shown */

/**
 * What the server sends when the node has run.
 * @typedef {{
 *   pick?: { picture: Record<string, string>, width: number, height: number, faces: Shown["faces"] }[],
 *   total?: number[],
 *   choice?: string[],
 * }} Output
 */

const KIND = "VisagePickFaces";

/**
 * The picker of each node.
 * @type {WeakMap<object, NodePicker>}
 */
const pickers = new WeakMap();

/**
 * The latest picker at each place, by graph and node: an undo makes every node anew.
 * @type {Map<string, NodePicker>}
 */
const places = new Map();

class NodePicker {
  #node;
  #choice;
  /** What was chosen when the node last ran: shown where the choice comes from another node. */
  #ran = "";
  #picker;
  isShown = false;

  /** @param {any} node of ComfyUI's graph */
  constructor(node) {
    this.#node = node;
    this.#choice = node.widgets.find((/** @type {any} */ widget) => widget.name === "choice");
    const texts = textsIn(app.extensionManager?.setting.get("Comfy.Locale"));
    this.#picker = new FacePicker((choice) => this.#write(choice), texts);
    const widget = node.addDOMWidget("picture", "visage-pick", this.#picker.element, {
      // The choice is kept by its own widget, and the server wants nothing of this one.
      serialize: false,
      hideOnZoom: false,
      getMinHeight: () => 280,
    });
    widget.serialize = false;
    const { callback } = this.#choice;
    this.#choice.callback = (/** @type {unknown[]} */ ...values) => {
      callback?.apply(this.#choice, values);
      this.refresh();
    };
    this.refresh();
  }

  /** @returns {HTMLElement} */
  get element() {
    return this.#picker.element;
  }

  /** @returns {boolean} whether the choice comes over a link */
  get #isLinked() {
    const input = this.#node.inputs?.find((/** @type {any} */ each) => each.widget?.name === "choice");
    return input?.link !== null && input?.link !== undefined;
  }

  /** Shows the choice as it is now. */
  refresh() {
    this.#picker.choose(this.#isLinked ? this.#ran : String(this.#choice.value ?? ""), this.#isLinked);
  }

  /** @param {Output | null} output */
  show(output) {
    if (output?.pick === undefined) return;
    this.isShown = true;
    this.#ran = output.choice?.[0] ?? "";
    this.#picker.show(
      output.pick.map(({ picture, ...rest }) => ({
        url: api.apiURL(`/view?${new URLSearchParams(picture)}`),
        ...rest,
      })),
      output.total?.[0] ?? output.pick.length,
    );
    this.refresh();
  }

  /** @param {string} choice */
  #write(choice) {
    // Between the two the page takes it as one step that can be undone.
    app.canvas.emitBeforeChange();
    this.#choice.value = choice;
    app.canvas.emitAfterChange();
    this.#node.setDirtyCanvas(true, false);
  }
}

/**
 * Puts a picker where the one that it follows still stands. Where Vue draws the nodes, a widget's element is mounted
 * once; a node that was made anew would be seen with the element of the old one.
 * @param {any} node that is in its graph
 */
function takePlace(node) {
  const picker = pickers.get(node);
  if (picker === undefined) return;
  const place = `${node.graph?.id}:${node.id}`;
  const former = places.get(place);
  places.set(place, picker);
  if (former === undefined || former === picker) return;
  // By the next frame the page has taken away what it takes away by itself.
  requestAnimationFrame(() => {
    if (former.element.isConnected) former.element.replaceWith(picker.element);
  });
}

app.registerExtension({
  name: "Visage.PickFaces",
  ...lastRuns(pickers),

  setup() {
    const style = document.createElement("link");
    style.rel = "stylesheet";
    style.href = new URL("./pick/picker.css", import.meta.url).href;
    document.head.append(style);
  },

  /** @param {any} node */
  nodeCreated(node) {
    if (node.constructor.comfyClass !== KIND) return;
    const picker = new NodePicker(node);
    pickers.set(node, picker);
    const [width, height] = node.size;
    node.setSize([Math.max(width, 420), Math.max(height, 520)]);
    const { onAdded, onExecuted, onConnectionsChange } = node;
    node.onAdded = function (/** @type {unknown[]} */ ...to) {
      onAdded?.apply(this, to);
      takePlace(node);
    };
    node.onExecuted = function (/** @type {Output | null} */ output) {
      onExecuted?.call(this, output);
      picker.show(output);
    };
    node.onConnectionsChange = function (/** @type {unknown[]} */ ...change) {
      onConnectionsChange?.apply(this, change);
      picker.refresh();
    };
  },

  /** @param {any} node whose values have just been read from a workflow */
  loadedGraphNode(node) {
    pickers.get(node)?.refresh();
  },
});
