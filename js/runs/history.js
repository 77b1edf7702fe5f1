// What a node last gave out, from the server's own list of what it ran: so that a page that is loaded anew shows it
// again. The list lives as long as the server, and so do the pictures.

/**
 * One run as `GET /history` gives it.
 * @typedef {{
 *   prompt: [number, string, object, { extra_pnginfo?: { workflow?: { id?: string } } }, ...unknown[]],
 *   outputs: Record<string, Record<string, unknown[]>>,
 * }} Run
 */

/**
 * The last output of a node of a workflow, or undefined where there is none.
 * @param {Record<string, Run>} history in the order in which the server ran them. Their numbers say something else: a
 *   run that was put in front of the queue has a negative one.
 * @param {string} workflow its id
 * @param {string} node its id as the server knows it: "3", and "5:3" in a subgraph
 * @returns {Record<string, unknown[]> | undefined}
 */
export function lastOutput(history, workflow, node) {
  return Object.values(history)
    .filter((run) => run.prompt[3]?.extra_pnginfo?.workflow?.id === workflow)
    .map((run) => run.outputs[node])
    .findLast((output) => output !== undefined);
}
