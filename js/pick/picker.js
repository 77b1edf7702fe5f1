// The picture with its faces: clicked, dragged and worked with the keyboard. It knows the page's elements and a choice,
// and nothing of ComfyUI.

import { between, moved, pointIn, resized } from "./boxes.js";
import { drawnIn, format, parse, states, toggled, without, withAll, withDrawn, withMoved, withNone } from "./choice.js";

/** @typedef {import("./choice.js").Box} Box */
/** @typedef {import("./choice.js").Pick} Pick */
/** @typedef {import("./boxes.js").Point} Point */

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

const HINT = "Click a face to take it in or out. Drag to add a box. Shift and drag to move one.";
const BEFORE = "Run the workflow: the picture and its faces are shown here then.";
const GONE = "The picture is no longer there. Run the workflow again.";
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
  #at = 0;
  #text = "";
  /** @type {Pick[] | null} what the text says; null if it cannot be read */
  #picks = [];
  /** Why it cannot be read. */
  #fault = "";
  #fixed = false;
  /** @type {Drag | null} */
  #drag = null;
  #changed;

  /** @param {(choice: string) => void} changed is called with the new choice whenever the user makes one */
  constructor(changed) {
    this.#changed = changed;
    this.image = /** @type {HTMLImageElement} */ (made("img", "image", { alt: "", draggable: "false" }));
    this.boxes = made("div", "boxes");
    this.frame = made("div", "frame", { tabindex: "-1" }, this.image, this.boxes);
    this.empty = made("p", "empty", {}, BEFORE);
    this.stage = made("div", "stage", {}, this.frame, this.empty);
    this.status = made("div", "status", { role: "status", "aria-live": "polite" });
    this.hint = made("div", "hint", {}, HINT);
    this.place = made("span", "place");
    this.before = button("‹", "Previous image", () => this.#turn(-1));
    this.after = button("›", "Next image", () => this.#turn(1));
    this.pages = made("span", "pages", {}, this.before, this.place, this.after);
    this.buttons = [
      button("All", "Take all faces", () => this.#choose((picks) => withAll(picks, this.#number), "All faces taken")),
      button("None", "Take none of the faces", () =>
        this.#choose((picks) => withNone(picks, this.#number, this.#named), "No face taken"),
      ),
      button("Add box", "Add a box where no face was found", () => this.#add(NEW_BOX)),
    ];
    this.tools = made("div", "tools", { role: "group", "aria-label": "All faces" }, ...this.buttons, this.pages);
    this.element = made(
      "div",
      "picker",
      { role: "group", "aria-label": "Pick faces in the picture" },
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
   */
  show(shown) {
    this.#shown = shown;
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
      this.#fault = /** @type {Error} */ (error).message;
    }
    this.#draw();
  }

  /** @returns {Shown | undefined} the image that is shown */
  get #current() {
    return this.#shown[this.#at];
  }

  /** @returns {number} the number of the image that is shown, from 1 on */
  get #number() {
    return this.#at + 1;
  }

  /** @returns {number | null} what new entries name as their image: nothing where there is but one */
  get #named() {
    return this.#shown.length > 1 ? this.#number : null;
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
    const count = drawnIn(this.#picks ?? [], this.#number).length;
    this.#choose((picks) => withDrawn(picks, box, this.#named), `Box ${count + 1} added`, `drawn-${count}`);
  }

  /** @param {number} face its place among the faces of the image */
  #toggle(face) {
    if (this.#picks === null) return;
    const { faces } = /** @type {Shown} */ (this.#current);
    const boxes = faces.map(({ box }) => box);
    const picks = toggled(this.#picks, boxes, face, this.#number, this.#named);
    const { taken, covered } = states(picks, boxes, this.#number)[face];
    const outcome = covered ? "left out: a drawn box stands in its place" : taken ? "taken" : "taken out";
    this.#choose(() => picks, `Face ${faces[face].number} ${outcome}`, `face-${face}`);
  }

  /**
   * @param {number} place of the entry of a drawn box
   * @param {number} count which drawn box of the image it is
   */
  #remove(place, count) {
    this.#choose((picks) => without(picks, place), `Box ${count + 1} removed`, "frame");
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
    this.place.textContent = `Image ${this.#number} of ${this.#shown.length}`;
    this.before.disabled = this.#at === 0;
    this.after.disabled = this.#at === this.#shown.length - 1;
    for (const each of this.buttons) each.disabled = this.#fixed;
    this.element.classList.toggle("visage-pick-fixed", this.#fixed);
    if (current === undefined) {
      this.empty.textContent = BEFORE;
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
    const parts = said ? [`${said}.`] : [];
    if (this.#picks === null) {
      parts.push(`${this.#fault} Correct the text, or begin anew with All or None.`);
    } else if (this.#current !== undefined) {
      const faces = this.#current.faces.map(({ box }) => box);
      const taken = states(this.#picks, faces, this.#number).filter((state) => state.taken).length;
      const drawn = drawnIn(this.#picks, this.#number).length;
      const boxes = drawn === 0 ? "" : `, and ${drawn} drawn`;
      parts.push(`${taken} of ${faces.length} ${faces.length === 1 ? "face" : "faces"} taken${boxes}.`);
    }
    if (this.#fixed) parts.push("The choice comes from another node.");
    this.status.textContent = parts.join(" ");
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
        "aria-label": `Face ${number}, ${size} pixels, ${across} percent from the left, ${down} from the top`,
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
        "aria-roledescription": "box drawn by hand",
        "aria-label": `Box ${count + 1}. Arrow keys move it, Shift and arrow keys resize it, Delete removes it`,
        "aria-keyshortcuts": "ArrowLeft ArrowRight ArrowUp ArrowDown Delete",
      });
      element.dataset.place = String(place);
      element.dataset.count = String(count);
      const remove = button("×", `Remove box ${count + 1}`, () => this.#remove(place, count));
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
      this.empty.textContent = GONE;
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
      this.#choose((picks) => withMoved(picks, place, box), "", dataset.key);
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
          taken ? toggled(picks, boxes, face, this.#number, this.#named) : picks,
          box,
          this.#named,
        ),
      `Face ${faces[face].number} moved`,
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
