// The language of a choice made by hand, as the page reads and writes it. The server's side of it, with the same words
// and numbers, is faces/selection/picks.py and picking.py; tests/test_pick_page.py holds the two together.
// Nothing here knows the page: text, numbers and lists only.

/**
 * Left, top, width and height in percent of the image.
 * @typedef {[number, number, number, number]} Box
 */

/**
 * One entry. `image` is the number of the image from 1 on, or null for all of a batch. `none` has no box.
 * @typedef {{ kind: "take" | "leave" | "draw" | "none", box: Box | null, image: number | null }} Pick
 */

/**
 * What becomes of one face: whether it is taken, and whether a drawn box stands in its place.
 * @typedef {{ taken: boolean, covered: boolean }} State
 */

/** The least intersection over union of an entry and the face that it means. */
export const SAME = 0.3;

const ENTRY = /^(?:image\s+(\d{1,9})\s*:\s*)?([a-z]*)\s*(.*)$/i;
const NUMBER = /^[-+]?(\d+\.?\d*|\.\d+)$/;

/**
 * Reads a choice.
 * @param {string} text
 * @returns {Pick[]}
 * @throws {Error} names the entry that cannot be read, which is its cause
 */
export function parse(text) {
  return text
    .split(/[;\n]/)
    .map((entry) => entry.trim())
    .filter((entry) => entry !== "")
    .map(parseEntry);
}

/**
 * @param {string} entry
 * @returns {Pick}
 */
function parseEntry(entry) {
  const refused = new Error(`'${entry}' is no entry of a choice.`, { cause: entry });
  const found = ENTRY.exec(entry);
  if (found === null) throw refused;
  const image = found[1] === undefined ? null : Number(found[1]);
  const kind = found[2].toLowerCase() || "take";
  if (image === 0) throw refused;
  if (kind === "none" && found[3] === "") return { kind, box: null, image };
  if (kind !== "take" && kind !== "leave" && kind !== "draw") throw refused;
  const numbers = found[3].trim().split(/\s*,\s*|\s+/);
  if (numbers.length !== 4 || !numbers.every((number) => NUMBER.test(number))) throw refused;
  const [left, top, width, height] = numbers.map(Number);
  const sized = width > 0 && width <= 200 && height > 0 && height <= 200;
  if (!sized || !(left < 100 && top < 100 && left + width > 0 && top + height > 0)) throw refused;
  return { kind, box: [left, top, width, height], image };
}

/**
 * Writes a choice, as short as it can be read.
 * @param {Pick[]} picks
 * @returns {string}
 */
export function format(picks) {
  return picks.map(formatEntry).join("; ");
}

/**
 * @param {Pick} pick
 * @returns {string}
 */
function formatEntry({ kind, box, image }) {
  const numbers = box === null ? "" : ` ${box.map((number) => String(rounded(number))).join(",")}`;
  return `${image === null ? "" : `image ${image}: `}${kind}${numbers}`;
}

/**
 * Two decimals: what a choice is written with.
 * @param {number} number
 * @returns {number}
 */
export function rounded(number) {
  return Math.round(number * 100) / 100;
}

/**
 * Intersection over union of two boxes.
 * @param {Box} one
 * @param {Box} other
 * @returns {number} 0..1
 */
export function overlap(one, other) {
  const across = Math.min(one[0] + one[2], other[0] + other[2]) - Math.max(one[0], other[0]);
  const down = Math.min(one[1] + one[3], other[1] + other[3]) - Math.max(one[1], other[1]);
  if (across <= 0 || down <= 0) return 0;
  return (across * down) / (one[2] * one[3] + other[2] * other[3] - across * down);
}

/**
 * Which face each entry means: the pairs that have most in common first, each entry and each face at most once.
 * @param {Box[]} entries
 * @param {Box[]} faces
 * @returns {Map<number, number>} from places among the entries to places among the faces
 */
export function matches(entries, faces) {
  const pairs = entries
    .flatMap((one, entry) => faces.map((other, face) => ({ entry, face, common: overlap(one, other) })))
    .filter((pair) => pair.common >= SAME)
    .sort((a, b) => b.common - a.common || a.entry - b.entry || a.face - b.face);
  const meant = new Map();
  const used = new Set();
  for (const { entry, face } of pairs) {
    if (!meant.has(entry) && !used.has(face)) {
      meant.set(entry, face);
      used.add(face);
    }
  }
  return meant;
}

/**
 * The places of the entries that count in an image.
 * @param {Pick[]} picks
 * @param {number} image from 1 on
 * @returns {number[]}
 */
function placesIn(picks, image) {
  return [...picks.keys()].filter((place) => picks[place].image === null || picks[place].image === image);
}

/**
 * Whether only the faces that are named are taken in an image.
 * @param {Pick[]} picks
 * @param {number} image from 1 on
 * @returns {boolean}
 */
function isOnly(picks, image) {
  return placesIn(picks, image).some((place) => picks[place].kind === "take" || picks[place].kind === "none");
}

/**
 * For each face of an image the place of the entry that means it, or -1.
 * @param {Pick[]} picks
 * @param {Box[]} faces
 * @param {number} image from 1 on
 * @returns {number[]}
 */
function entriesOf(picks, faces, image) {
  const places = placesIn(picks, image).filter((place) => picks[place].box !== null);
  const meant = matches(
    places.map((place) => /** @type {Box} */ (picks[place].box)),
    faces,
  );
  const entries = faces.map(() => -1);
  for (const [entry, face] of meant) entries[face] = places[entry];
  return entries;
}

/**
 * What becomes of the faces of an image.
 * @param {Pick[]} picks
 * @param {Box[]} faces
 * @param {number} image from 1 on
 * @returns {State[]}
 */
export function states(picks, faces, image) {
  const only = isOnly(picks, image);
  return entriesOf(picks, faces, image).map((place) => {
    const kind = place < 0 ? null : picks[place].kind;
    return { taken: kind === "take" || (kind === null && !only), covered: kind === "draw" };
  });
}

/**
 * The places of the boxes drawn in an image, in their order.
 * @param {Pick[]} picks
 * @param {number} image from 1 on
 * @returns {number[]}
 */
export function drawnIn(picks, image) {
  return placesIn(picks, image).filter((place) => picks[place].kind === "draw");
}

/**
 * How many entries take or leave a face that is not there, in an image.
 * @param {Pick[]} picks
 * @param {Box[]} faces of the image
 * @param {number} image from 1 on
 * @returns {number}
 */
export function unmatched(picks, faces, image) {
  const matched = new Set(entriesOf(picks, faces, image));
  const strange = placesIn(picks, image).filter((place) => !matched.has(place));
  return strange.filter((place) => picks[place].kind === "take" || picks[place].kind === "leave").length;
}

// What is changed is changed in one image of a batch of `total`: an entry for all of them stays for the others.

/**
 * What a new entry names as its image: nothing where there is but one.
 * @param {number} image from 1 on
 * @param {number} total
 * @returns {number | null}
 */
function named(image, total) {
  return total > 1 ? image : null;
}

/**
 * What an entry becomes where it is taken out of an image.
 * @param {Pick} pick
 * @param {number} image from 1 on
 * @param {number} total
 * @returns {Pick[]} the same for each of the other images
 */
function forOthers(pick, image, total) {
  if (pick.image !== null) return [];
  const numbers = Array.from({ length: total }, (_, place) => place + 1);
  return numbers.filter((number) => number !== image).map((number) => ({ ...pick, image: number }));
}

/**
 * The choice with a face taken that was not, or the other way round. A face under a drawn box stays as it is.
 * @param {Pick[]} picks
 * @param {Box[]} faces of the image
 * @param {number} face its place among them
 * @param {number} image from 1 on
 * @param {number} total
 * @returns {Pick[]}
 */
export function toggled(picks, faces, face, image, total) {
  const state = states(picks, faces, image)[face];
  if (state.covered) return picks;
  const only = isOnly(picks, image);
  const rest = withoutWhatMeans(picks, faces, face, image, total);
  const here = named(image, total);
  if (!state.taken) return only ? [...rest, { kind: "take", box: faces[face], image: here }] : rest;
  if (!only) return [...rest, { kind: "leave", box: faces[face], image: here }];
  // The last face that was named is gone: still none of the others.
  return isOnly(rest, image) ? rest : [...rest, { kind: "none", box: null, image: here }];
}

/**
 * The choice without the entries that take or leave a face: often one, or several that were written by hand.
 * @param {Pick[]} picks
 * @param {Box[]} faces of the image
 * @param {number} face its place among them
 * @param {number} image from 1 on
 * @param {number} total
 * @returns {Pick[]}
 */
function withoutWhatMeans(picks, faces, face, image, total) {
  const place = entriesOf(picks, faces, image)[face];
  if (place < 0 || picks[place].kind === "draw") return picks;
  return withoutWhatMeans(without(picks, place, image, total), faces, face, image, total);
}

/**
 * The choice with all faces that were found in an image. Drawn boxes stay.
 * @param {Pick[]} picks
 * @param {number} image from 1 on
 * @param {number} total
 * @returns {Pick[]}
 */
export function withAll(picks, image, total) {
  const places = new Set(placesIn(picks, image));
  return picks.flatMap((pick, place) =>
    pick.kind === "draw" || !places.has(place) ? [pick] : forOthers(pick, image, total),
  );
}

/**
 * The choice with none of the faces that were found in an image. Drawn boxes stay.
 * @param {Pick[]} picks
 * @param {number} image from 1 on
 * @param {number} total
 * @returns {Pick[]}
 */
export function withNone(picks, image, total) {
  return [...withAll(picks, image, total), { kind: "none", box: null, image: named(image, total) }];
}

/**
 * The choice with one box more.
 * @param {Pick[]} picks
 * @param {Box} box
 * @param {number} image from 1 on
 * @param {number} total
 * @returns {Pick[]}
 */
export function withDrawn(picks, box, image, total) {
  return [...picks, { kind: "draw", box, image: named(image, total) }];
}

/**
 * The choice with a drawn box at another place.
 * @param {Pick[]} picks
 * @param {number} place of its entry
 * @param {Box} box
 * @param {number} image from 1 on
 * @param {number} total
 * @returns {Pick[]}
 */
export function withMoved(picks, place, box, image, total) {
  return picks.flatMap((pick, index) =>
    index === place
      ? [{ ...pick, box, image: pick.image ?? named(image, total) }, ...forOthers(pick, image, total)]
      : [pick],
  );
}

/**
 * The choice without an entry.
 * @param {Pick[]} picks
 * @param {number} place of the entry
 * @param {number} image from 1 on
 * @param {number} total
 * @returns {Pick[]}
 */
export function without(picks, place, image, total) {
  return picks.flatMap((pick, index) => (index === place ? forOthers(pick, image, total) : [pick]));
}
