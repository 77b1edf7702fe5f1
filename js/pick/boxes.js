// Boxes under the mouse and the arrow keys: left, top, width and height in percent of the image, inside of it.

import { rounded } from "./choice.js";

/** @typedef {import("./choice.js").Box} Box */

/**
 * A place in the image in percent: across, down.
 * @typedef {[number, number]} Point
 */

/** No side of a box becomes smaller than this, in percent of the image. */
const LEAST = 0.5;

/**
 * @param {number} value
 * @param {number} low
 * @param {number} high
 * @returns {number}
 */
function within(value, low, high) {
  return Math.min(Math.max(value, low), high);
}

/**
 * @param {Box} box
 * @returns {Box}
 */
function inTwoDecimals([left, top, width, height]) {
  return [rounded(left), rounded(top), rounded(width), rounded(height)];
}

/**
 * The box between two corners.
 * @param {Point} one
 * @param {Point} other
 * @returns {Box}
 */
export function between(one, other) {
  const [left, right] = [one[0], other[0]].map((x) => within(x, 0, 100)).sort((a, b) => a - b);
  const [top, bottom] = [one[1], other[1]].map((y) => within(y, 0, 100)).sort((a, b) => a - b);
  return resized([left, top, 0, 0], right - left, bottom - top);
}

/**
 * The box pushed about, as far as the image goes.
 * @param {Box} box
 * @param {number} across
 * @param {number} down
 * @returns {Box}
 */
export function moved([left, top, width, height], across, down) {
  return inTwoDecimals([
    within(left + across, 0, Math.max(100 - width, 0)),
    within(top + down, 0, Math.max(100 - height, 0)),
    width,
    height,
  ]);
}

/**
 * The box with its right and bottom edges pushed about, as far as the image goes.
 * @param {Box} box
 * @param {number} across
 * @param {number} down
 * @returns {Box}
 */
export function resized([left, top, width, height], across, down) {
  const [x, y] = [Math.min(left, 100 - LEAST), Math.min(top, 100 - LEAST)];
  return inTwoDecimals([x, y, within(width + across, LEAST, 100 - x), within(height + down, LEAST, 100 - y)]);
}

/**
 * Where a point of the page lies in an element's rectangle, in percent of it. May lie outside of 0..100.
 * @param {{ clientX: number, clientY: number }} event
 * @param {DOMRect} rectangle as the page shows it, zoom included
 * @returns {Point}
 */
export function pointIn(event, rectangle) {
  return [
    ((event.clientX - rectangle.left) / rectangle.width) * 100,
    ((event.clientY - rectangle.top) / rectangle.height) * 100,
  ];
}
