// The report on the nodes that give one, and on every node of ours what went wrong: a text that can be read, scrolled
// and copied, and not written.

import { api } from "../../scripts/api.js";
import { app } from "../../scripts/app.js";
import { lastRuns, viewOf } from "./runs/last_runs.js";

/** What the server sends when the node has run. @typedef {{ text?: string[] }} Output */

const KINDS = new Set([
  "VisageRestoreFaces",
  "VisageRefineFaces",
  "VisageRefineFacesDiffusers",
  "VisageSelectFaces",
  "VisageFaceReport",
  "VisageTrackFaces",
]);

/** The least height of the text in pixels: seven lines or so. */
const HEIGHT = 120;

/**
 * The report of each node.
 * @type {WeakMap<object, Report>}
 */
const reports = new WeakMap();

/**
 * Where each node of ours says what went wrong: in its report, if it gives one.
 * @type {WeakMap<object, Report>}
 */
const failures = new WeakMap();

/**
 * The nodes without a report that show a failure, until the next run begins.
 * @type {Set<Report>}
 */
const failed = new Set();

class Report {
  #node;
  /** @type {any} none before there is something to be told */
  #widget;
  /** The height of the node before it told anything. */
  #height = 0;
  isShown = false;

  /** @param {any} node of ComfyUI's graph */
  constructor(node) {
    this.#node = node;
  }

  /** @param {string} message */
  fail(message) {
    this.show({ text: [message] });
    if (this.#widget !== undefined && !reports.has(this.#node)) failed.add(this);
  }

  /** Takes the text away, and the room that was made for it. */
  remove() {
    this.#node.removeWidget(this.#widget);
    this.#widget = undefined;
    this.#node.setSize([this.#node.size[0], this.#height]);
  }

  /** @param {Output | null} output */
  show(output) {
    const text = output?.text?.join("\n") ?? "";
    if (text === "") return;
    this.isShown = true;
    if (this.#widget === undefined) {
      this.#height = this.#node.size[1];
      this.#widget = this.#added();
      // By then Nodes 2.0 has laid it out, also on a page that has just been loaded.
      setTimeout(() => this.#makeRoom(), 500);
    }
    this.#widget.value = text;
  }

  #added() {
    // Plain text: ComfyUI's own widget for what a node tells takes it for Markdown in Nodes 2.0, and shows all of it.
    const { widget } = app.widgets.STRING(this.#node, "report_view", ["STRING", { multiline: true }], app);
    const socket = this.#node.outputs?.find((/** @type {any} */ each) => each.name === "report");
    widget.label = socket?.localized_name ?? "error";
    widget.serialize = false;
    Object.assign(widget.options, { serialize: false, read_only: true, getMinHeight: () => HEIGHT });
    widget.element.readOnly = true;
    return widget;
  }

  /** Nodes 2.0 gives a text three lines unless the node is larger. A node that was saved with room for it stays as is. */
  #makeRoom() {
    const { id, graph, size } = this.#node;
    if (graph !== app.canvas.graph) return;
    // The classic canvas makes the node larger while it draws it, and shows it so only when it draws again.
    if (!globalThis.LiteGraph?.vueNodesMode) return this.#node.setDirtyCanvas(true, true);
    const seen = document.querySelector(`[data-node-id="${id}"] textarea[readonly]`);
    const lacking = seen === null ? 0 : HEIGHT - seen.clientHeight;
    if (lacking > 0) this.#node.setSize([size[0], size[1] + lacking]);
  }
}

app.registerExtension({
  name: "visage.report",
  ...lastRuns(reports),

  setup() {
    // ComfyUI says no more than that the node failed until one asks for details.
    api.addEventListener("execution_error", (/** @type {any} */ { detail }) => {
      viewOf(failures, String(detail.node_id))?.fail(detail.exception_message.trim());
    });
    api.addEventListener("execution_start", () => {
      for (const failure of failed) failure.remove();
      failed.clear();
    });
  },

  /** @param {any} node of ComfyUI's graph */
  nodeCreated(node) {
    const { comfyClass } = node.constructor;
    if (!comfyClass?.startsWith("Visage")) return;
    const report = new Report(node);
    failures.set(node, report);
    if (!KINDS.has(comfyClass)) return;
    reports.set(node, report);
    const { onExecuted } = node;
    node.onExecuted = function (/** @type {Output | null} */ output) {
      onExecuted?.call(this, output);
      report.show(output);
    };
  },
});
