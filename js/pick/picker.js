// The picture with its faces: clicked, dragged and worked with the keyboard. It knows the page's elements and a choice,
// and nothing of ComfyUI.

import { between, moved, pointIn, resized } from "./boxes.js";
import {
  drawnIn,
  format,
  parse,
  states,
  toggled,
  unmatched,
  without,
  withAll,
  withDrawn,
  withMoved,
  withNone,
} from "./choice.js";

/** @typedef {import("./choice.js").Box} Box */
/** @typedef {import("./choice.js").Pick} Pick */
/** @typedef {import("./boxes.js").Point} Point */
/** @typedef {import("./texts.js").Texts} Texts */

/**
 * A face that was found: its box, the number that people know it by, and its longer side in pixels.
 * @typedef {{ box: Box, number: number, size: number }} Found
 */

/**
 * One image: where its picture is, its size in pixels and its faces.
 * @typedef {{ url: string, width: number, height: number, faces: Found[] }} Shown
 */

/**
 * What the mouse is doing since it was pressed at `from`: drawing a box, or moving or resizing one.
 * @typedef {{
 *   from: Point, x: number, y: number, far: boolean, hit: HTMLElement | null,
 *   result: (to: Point) => Box, done: (box: Box) => void,
 * }} Drag
 */

/** A press that goes no further than this many pixels of the screen is a click. */
const CLICK = 4;
/** What an arrow key moves a box by, in percent of the image. */
const STEP = 0.5;
/** A box that is added without a mouse: in the middle, a fifth of the image. */
const NEW_BOX = /** @type {Box} */ ([40, 40, 20, 20]);

/** @type {Record<string, Point>} */
const ARROWS = { ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP] };

/**
 * @param {string} tag
 * @param {string} name of its class
 * @param {Record<string, string>} [attributes]
 * @param {...(Node | string)} children
 * @returns {HTMLElement}
 */
function made(tag, name, attributes = {}, ...children) {
  const element = document.createElement(tag);
  element.className = `visage-pick-${name}`;
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

/**
 * @param {string} text
 * @param {string} label for those who do not see it
 * @param {() => void} act
 * @returns {HTMLButtonElement}
 */
function button(text, label, act) {
  const element = /** @type {HTMLButtonElement} */ (made("button", "button", { type: "button", title: label }, text));
  if (label !== text) element.setAttribute("aria-label", label);
  element.addEventListener("click", act);
  return element;
}

export class FacePicker {
  /** @type {Shown[]} */
  #shown = [];
  /** How many images there are: the first of them are shown. */
  #total = 0;
  #at = 0;
  #text = "";
  /** @type {Pick[] | null} what the text says; null if it cannot be read */
  #picks = [];
  /** The entry that cannot be read. */
  #fault = "";
  /**
   * Where the picture has changed since boxes were drawn: the one before it.
   * @type {Shown | null}
   */
  #former = null;
  #fixed = false;
  /** @type {Drag | null} */
  #drag = null;
  #changed;
  #texts;

  /**
   * @param {(choice: string) => void} changed is called with the new choice whenever the user makes one
   * @param {Texts} texts
   */
  constructor(changed, texts) {
    this.#changed = changed;
    this.#texts = texts;
    this.image = /** @type {HTMLImageElement} */ (made("img", "image", { alt: "", draggable: "false" }));
    this.boxes = made("div", "boxes");
    this.frame = made("div", "frame", { tabindex: "-1" }, this.image, this.boxes);
    this.empty = made("p", "empty", {}, texts.before);
    this.stage = made("div", "stage", {}, this.frame, this.empty);
    this.status = made("div", "status", { role: "status", "aria-live": "polite" });
    this.hint = made("div", "hint", {}, texts.hint);
    this.place = made("span", "place");
    this.before = button("‹", texts.previous, () => this.#turn(-1));
    this.after = button("›", texts.next, () => this.#turn(1));
    this.pages = made("span", "pages", {}, this.before, this.place, this.after);
    this.buttons = [
      button(texts.all, texts.takeAll, () =>
        this.#choose((picks) => withAll(picks, this.#number, this.#total), texts.allTaken),
      ),
      button(texts.none, texts.takeNone, () =>
        this.#choose((picks) => withNone(picks, this.#number, this.#total), texts.noneTaken),
      ),
      button(texts.add, texts.addBox, () => this.#add(NEW_BOX)),
      button(texts.clear, texts.clearAll, () => this.#choose(() => [], texts.cleared)),
    ];
    this.tools = made("div", "tools", { role: "group", "aria-label": texts.tools }, ...this.buttons, this.pages);
    this.element = made(
      "div",
      "picker",
      { role: "group", "aria-label": texts.picker },
      this.tools,
      this.stage,
      this.hint,
      this.status,
    );
    this.#listen();
    this.#draw();
  }

  /**
   * Shows images and their faces; none of them: what to do to see some.
   * @param {Shown[]} shown
   * @param {number} total how many images there are, of which these are the first
   */
  show(shown, total) {
    this.#compareSizes(this.#former ?? this.#shown[0], shown[0]);
    this.#shown = shown;
    this.#total = total;
    this.#at = Math.min(this.#at, Math.max(shown.length - 1, 0));
    this.#draw();
  }

  /**
   * Shows a choice.
   * @param {string} text
   * @param {boolean} fixed whether it comes from elsewhere and cannot be changed here
   */
  choose(text, fixed) {
    this.#text = text;
    this.#fixed = fixed;
    try {
      this.#picks = parse(text);
    } catch (error) {
      this.#picks = null;
      this.#fault = String(/** @type {Error} */ (error).cause);
    }
    this.#draw();
  }

  /**
   * @param {Shown | undefined} former
   * @param {Shown | undefined} current
   */
  #compareSizes(former, current) {
    const same = former?.width === current?.width && former?.height === current?.height;
    this.#former = same || former === undefined ? null : former;
  }

  /** @returns {Shown | undefined} the image that is shown */
  get #current() {
    return this.#shown[this.#at];
  }

  /** @returns {number} the number of the image that is shown, from 1 on */
  get #number() {
    return this.#at + 1;
  }

  /**
   * @param {(picks: Pick[]) => Pick[]} change
   * @param {string} [said] what those who do not see it are told
   * @param {string} [focus] the key of what has the focus then
   */
  #choose(change, said = "", focus = "") {
    // A choice that cannot be read is begun anew only by the buttons, which say so, never by a stray click.
    if (this.#fixed || this.#current === undefined) return;
    this.#picks = change(this.#picks ?? []);
    this.#former = null;
    this.#text = format(this.#picks);
    this.#draw(said, focus);
    this.#changed(this.#text);
  }

  /** @param {number} by */
  #turn(by) {
    this.#at = Math.min(Math.max(this.#at + by, 0), this.#shown.length - 1);
    this.#draw();
  }

  /** @param {Box} box */
  #add(box) {
    const { added } = this.#texts;
    const count = drawnIn(this.#picks ?? [], this.#number).length;
    this.#choose((picks) => withDrawn(picks, box, this.#number, this.#total), added(count + 1), `drawn-${count}`);
  }

  /** @param {number} face its place among the faces of the image */
  #toggle(face) {
    if (this.#picks === null) return;
    const { faces } = /** @type {Shown} */ (this.#current);
    const boxes = faces.map(({ box }) => box);
    const picks = toggled(this.#picks, boxes, face, this.#number, this.#total);
    const { taken, covered } = states(picks, boxes, this.#number)[face];
    const say = covered ? this.#texts.covered : taken ? this.#texts.taken : this.#texts.takenOut;
    this.#choose(() => picks, say(faces[face].number), `face-${face}`);
  }

  /**
   * @param {number} place of the entry of a drawn box
   * @param {number} count which drawn box of the image it is
   */
  #remove(place, count) {
    const said = this.#texts.removed(count + 1);
    this.#choose((picks) => without(picks, place, this.#number, this.#total), said, "frame");
  }

  // ---- what is seen

  /**
   * @param {string} [said]
   * @param {string} [focus] the key of what has the focus then; else it stays where it is
   */
  #draw(said = "", focus = "") {
    const current = this.#current;
    const active = document.activeElement;
    const key = focus || (active instanceof HTMLElement && this.boxes.contains(active) && active.dataset.key) || "";
    this.frame.hidden = current === undefined;
    this.empty.hidden = current !== undefined;
    this.hint.hidden = current === undefined || this.#fixed;
    this.tools.hidden = current === undefined;
    this.pages.hidden = this.#shown.length < 2;
    this.place.textContent = this.#texts.place(this.#number, this.#total);
    this.before.disabled = this.#at === 0;
    this.after.disabled = this.#at === this.#shown.length - 1;
    for (const each of this.buttons) each.disabled = this.#fixed;
    this.element.classList.toggle("visage-pick-fixed", this.#fixed);
    if (current === undefined) {
      this.empty.textContent = this.#texts.before;
      this.boxes.replaceChildren();
    } else {
      if (this.image.getAttribute("src") !== current.url) this.image.src = current.url;
      this.frame.style.setProperty("--ratio", String(current.width / current.height));
      this.boxes.replaceChildren(...this.#drawFaces(current), ...this.#drawDrawn());
    }
    if (key) this.#focus(key);
    this.#say(said);
  }

  /** @param {string} key */
  #focus(key) {
    const element = this.boxes.querySelector(`[data-key="${key}"]`) ?? this.frame;
    /** @type {HTMLElement} */ (element).focus({ preventScroll: true });
  }

  /** @param {string} said */
  #say(said) {
    const parts = said ? [said] : [];
    if (this.#picks === null) {
      parts.push(this.#texts.unreadable(this.#fault));
    } else if (this.#current !== undefined) {
      parts.push(...this.#told(this.#picks, this.#current));
    }
    if (this.#fixed) parts.push(this.#texts.fixed);
    this.status.textContent = parts.join(" ");
  }

  /**
   * What the choice does in the image that is shown, and what not.
   * @param {Pick[]} picks
   * @param {Shown} current
   * @returns {string[]}
   */
  #told(picks, current) {
    const [texts, shown] = [this.#texts, this.#shown.length];
    const faces = current.faces.map(({ box }) => box);
    const taken = states(picks, faces, this.#number).filter((state) => state.taken).length;
    const drawn = drawnIn(picks, this.#number).length;
    const strange = unmatched(picks, faces, this.#number);
    const parts = [texts.sum(taken, faces.length, drawn)];
    if (strange > 0) parts.push(texts.unmatched(strange));
    if (drawn > 0 && this.#former !== null) {
      parts.push(texts.otherSize(drawn, this.#former.width, this.#former.height));
    }
    if (this.#total > shown) {
      const areNamed = picks.some(({ image }) => image === null || image > shown);
      parts.push(areNamed ? texts.othersByText(shown) : texts.othersTaken(shown));
    }
    return parts;
  }

  /**
   * @param {Shown} current
   * @returns {HTMLElement[]}
   */
  #drawFaces({ faces }) {
    const boxes = faces.map(({ box }) => box);
    const found = this.#picks === null ? null : states(this.#picks, boxes, this.#number);
    return faces.map(({ box, number, size }, face) => {
      const state = found === null ? "unknown" : found[face].taken ? "in" : "out";
      const [across, down] = [box[0] + box[2] / 2, box[1] + box[3] / 2].map(Math.round);
      const element = this.#box(box, `face-${face}`, `face visage-pick-${state}`, {
        role: "checkbox",
        "aria-checked": { in: "true", out: "false", unknown: "mixed" }[state],
        "aria-disabled": String(found?.[face].covered || this.#fixed),
        "aria-label": this.#texts.face(number, size, across, down),
      });
      element.dataset.face = String(face);
      element.append(made("span", "number", { "aria-hidden": "true" }, String(number)));
      return element;
    });
  }

  /** @returns {HTMLElement[]} */
  #drawDrawn() {
    const picks = this.#picks ?? [];
    return drawnIn(picks, this.#number).map((place, count) => {
      const box = /** @type {Box} */ (picks[place].box);
      // An application is given the arrow keys also where a screen reader would take them for itself.
      const element = this.#box(box, `drawn-${count}`, "drawn", {
        role: "application",
        "aria-roledescription": this.#texts.drawn,
        "aria-label": this.#texts.box(count + 1),
        "aria-keyshortcuts": "ArrowLeft ArrowRight ArrowUp ArrowDown Delete",
      });
      element.dataset.place = String(place);
      element.dataset.count = String(count);
      const remove = button("×", this.#texts.remove(count + 1), () => this.#remove(place, count));
      remove.className = "visage-pick-remove";
      element.append(
        made("span", "number", { "aria-hidden": "true" }, `+${count + 1}`),
        remove,
        made("span", "handle", { "aria-hidden": "true" }),
      );
      return element;
    });
  }

  /**
   * @param {Box} box
   * @param {string} key
   * @param {string} name
   * @param {Record<string, string>} attributes
   * @returns {HTMLElement}
   */
  #box(box, key, name, attributes) {
    const element = made("div", name, { ...attributes, tabindex: "0" });
    element.dataset.key = key;
    this.#lay(element, box);
    return element;
  }

  /**
   * @param {HTMLElement} element
   * @param {Box} box
   */
  #lay(element, [left, top, width, height]) {
    Object.assign(element.style, { left: `${left}%`, top: `${top}%`, width: `${width}%`, height: `${height}%` });
    // Small boxes above large ones, so that each can be reached.
    element.style.zIndex = String(Math.max(1, 10000 - Math.round(width * height)));
  }

  // ---- what is done

  #listen() {
    this.image.addEventListener("error", () => {
      this.frame.hidden = true;
      this.empty.hidden = false;
      this.empty.textContent = this.#texts.gone;
    });
    this.frame.addEventListener("pointerdown", (event) => this.#press(event));
    this.frame.addEventListener("pointermove", (event) => this.#pull(event));
    this.frame.addEventListener("pointerup", (event) => this.#release(event));
    this.frame.addEventListener("pointercancel", () => this.#stop());
    // On all of it: the focus may also be on a button, or on the picture where a box was taken away.
    this.element.addEventListener("keydown", (event) => this.#key(event));
  }

  /** @param {PointerEvent} event */
  #press(event) {
    const target = /** @type {HTMLElement} */ (event.target);
    if (event.button !== 0 || this.#fixed || this.#picks === null || target.closest("button") !== null) return;
    const hit = /** @type {HTMLElement | null} */ (target.closest("[data-key]"));
    const from = pointIn(event, this.frame.getBoundingClientRect());
    this.#drag = { from, x: event.clientX, y: event.clientY, far: false, hit, ...this.#work(event, hit, from) };
    this.frame.setPointerCapture(event.pointerId);
  }

  /**
   * What pulling would do.
   * @param {PointerEvent} event
   * @param {HTMLElement | null} hit the box that was pressed
   * @param {Point} from
   * @returns {{ result: (to: Point) => Box, done: (box: Box) => void }}
   */
  #work(event, hit, from) {
    const sizing = /** @type {HTMLElement} */ (event.target).classList.contains("visage-pick-handle");
    if (hit !== null && (event.shiftKey || sizing)) {
      const box = this.#boxOf(hit);
      const change = sizing ? resized : moved;
      return {
        result: (to) => change(box, to[0] - from[0], to[1] - from[1]),
        done: (result) => this.#move(hit, result),
      };
    }
    return { result: (to) => between(from, to), done: (box) => this.#add(box) };
  }

  /**
   * @param {HTMLElement} element of a face or a drawn box
   * @returns {Box}
   */
  #boxOf({ dataset }) {
    const { faces } = /** @type {Shown} */ (this.#current);
    const picks = this.#picks ?? [];
    return dataset.place === undefined
      ? faces[Number(dataset.face)].box
      : /** @type {Box} */ (picks[Number(dataset.place)].box);
  }

  /**
   * A drawn box is moved. A face that was found is taken out, and a drawn box takes its place.
   * @param {HTMLElement} hit
   * @param {Box} box
   */
  #move({ dataset }, box) {
    if (dataset.place !== undefined) {
      const place = Number(dataset.place);
      this.#choose((picks) => withMoved(picks, place, box, this.#number, this.#total), "", dataset.key);
      return;
    }
    const { faces } = /** @type {Shown} */ (this.#current);
    const boxes = faces.map((face) => face.box);
    const face = Number(dataset.face);
    const taken = states(this.#picks ?? [], boxes, this.#number)[face].taken;
    const count = drawnIn(this.#picks ?? [], this.#number).length;
    this.#choose(
      (picks) =>
        withDrawn(
          taken ? toggled(picks, boxes, face, this.#number, this.#total) : picks,
          box,
          this.#number,
          this.#total,
        ),
      this.#texts.moved(faces[face].number),
      `drawn-${count}`,
    );
  }

  /** @param {PointerEvent} event */
  #pull(event) {
    const drag = this.#drag;
    if (drag === null) return;
    drag.far ||= Math.hypot(event.clientX - drag.x, event.clientY - drag.y) > CLICK;
    if (!drag.far) return;
    this.ghost ??= this.boxes.appendChild(made("div", "ghost"));
    this.#lay(this.ghost, drag.result(pointIn(event, this.frame.getBoundingClientRect())));
  }

  /** @param {PointerEvent} event */
  #release(event) {
    const drag = this.#drag;
    if (drag === null) return;
    this.#stop();
    if (drag.far) {
      drag.done(drag.result(pointIn(event, this.frame.getBoundingClientRect())));
    } else if (drag.hit !== null) {
      drag.hit.focus({ preventScroll: true });
      if (drag.hit.dataset.face !== undefined) this.#toggle(Number(drag.hit.dataset.face));
    }
  }

  #stop() {
    this.#drag = null;
    this.ghost?.remove();
    this.ghost = undefined;
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const hit = /** @type {HTMLElement} */ (event.target);
    if (event.ctrlKey || event.metaKey || event.altKey || !this.#act(hit, event)) return;
    // Else the same key would also act on the node that is selected.
    event.preventDefault();
    event.stopPropagation();
  }

  /**
   * @param {HTMLElement} hit
   * @param {KeyboardEvent} event
   * @returns {boolean} whether the key means something here
   */
  #act(hit, { key, shiftKey }) {
    const { face, place, count } = hit.dataset;
    if (face !== undefined && (key === " " || key === "Enter")) {
      this.#toggle(Number(face));
      return true;
    }
    if (place !== undefined && (key === "Delete" || key === "Backspace")) {
      this.#remove(Number(place), Number(count));
      return true;
    }
    if (place !== undefined && key in ARROWS) {
      const [across, down] = ARROWS[key];
      this.#move(hit, (shiftKey ? resized : moved)(this.#boxOf(hit), across, down));
      return true;
    }
    // Keys that would delete or move the node, whatever has the focus. Buttons keep theirs.
    return key === "Delete" || key === "Backspace" || key in ARROWS;
  }
}
