// Nodes that show what they gave out show it again when the page is loaded anew, when another workflow was looked at in
// between, and when an undo has made them anew.

import { api } from "../../../scripts/api.js";
import { app } from "../../../scripts/app.js";
import { lastOutput } from "./history.js";

/** How many runs are looked through, the newest first. */
const RUNS = 20;

/**
 * What shows the output of one node.
 * @typedef {{ isShown: boolean, show: (output: any) => void }} View
 */

/**
 * Asked for once where several extensions want it at the same time.
 * @type {Promise<Record<string, import("./history.js").Run>> | undefined}
 */
let asked;

function history() {
  asked ??= api
    .fetchApi(`/history?max_items=${RUNS}`)
    .then((/** @type {Response} */ answer) => (answer.ok ? answer.json() : {}))
    .finally(() => {
      asked = undefined;
    });
  return asked;
}

/**
 * The nodes that have a view, in a graph and in its subgraphs.
 * @template {View} T
 * @param {any} graph
 * @param {WeakMap<object, T>} views
 * @returns {{ view: T, name: string, place: string }[]} with what the server calls the node ("3", and "5:3" in a
 *   subgraph) and where the page keeps its output ("3", and "<subgraph>:3")
 */
function viewsIn(graph, views, prefix = "") {
  return (graph?.nodes ?? []).flatMap((/** @type {any} */ node) => {
    const name = `${prefix}${node.id}`;
    const place = graph.isRootGraph === false ? `${graph.id}:${node.id}` : String(node.id);
    const inner = node.subgraph ? viewsIn(node.subgraph, views, `${name}:`) : [];
    const view = views.get(node);
    return view === undefined ? inner : [{ view, name, place }, ...inner];
  });
}

/** The workflow that is shown, whichever of its subgraphs is open. */
const wholeGraph = () => app.rootGraph ?? app.graph;

/**
 * @template {View} T
 * @param {WeakMap<object, T>} views
 * @param {string} name of a node of the workflow that is shown, as the server knows it
 * @returns {T | undefined}
 */
export function viewOf(views, name) {
  return viewsIn(wholeGraph(), views).find((each) => each.name === name)?.view;
}

/** @param {WeakMap<object, View>} views */
async function showLastRuns(views) {
  const graph = wholeGraph();
  const waiting = viewsIn(graph, views).filter(({ view }) => !view.isShown);
  if (waiting.length === 0 || !graph.id) return;
  const runs = await history();
  for (const { view, name, place } of waiting) {
    const output = lastOutput(runs, graph.id, name);
    if (output === undefined || view.isShown) continue;
    // From here the classic canvas takes the pictures that it draws.
    app.nodeOutputs[place] ??= output;
    view.show(output);
  }
  graph.setDirtyCanvas(true, true);
}

/**
 * The hooks of an extension that keep views up.
 * @param {WeakMap<object, View>} views of nodes
 */
export const lastRuns = (views) => ({
  /** Another workflow, or the same one after an undo. */
  afterConfigureGraph() {
    void showLastRuns(views);
  },

  /** @param {Record<string, any>} outputs of the page, by place */
  onNodeOutputsUpdated(outputs) {
    for (const { view, place } of viewsIn(wholeGraph(), views)) {
      if (outputs[place] !== undefined) view.show(outputs[place]);
    }
  },
});
