// What the picker says, in the languages of the pack.

/**
 * @param {number} count
 * @param {string} one
 * @param {string} [many]
 */
const counted = (count, one, many = `${one}s`) => `${count} ${count === 1 ? one : many}`;

const ENGLISH = {
  picker: "Pick faces in the picture",
  hint: "Click a face to leave it out or bring it back. Drag to add a box. Shift and drag to move one.",
  before: "Run the workflow: then the picture and its faces are shown here.",
  gone: "The picture is no longer there. Run the workflow again.",
  tools: "All faces",
  all: "All",
  takeAll: "Take all faces",
  none: "None",
  takeNone: "Take none of the faces",
  add: "Add box",
  addBox: "Add a box where no face was found",
  clear: "Clear",
  clearAll: "Remove the whole choice, drawn boxes included, for all images",
  previous: "Previous image",
  next: "Next image",
  /** @param {number} image @param {number} total */
  place: (image, total) => `Image ${image} of ${total}`,
  /** @param {number} shown how many images */
  othersTaken: (shown) => `The first ${shown} images are shown; of the others all faces are taken.`,
  /** @param {number} shown how many images */
  othersByText: (shown) => `The first ${shown} images are shown; the others go by the choice as text.`,
  allTaken: "All faces taken.",
  noneTaken: "No face taken.",
  cleared: "Choice cleared.",
  /** @param {number} face */
  taken: (face) => `Face ${face} taken.`,
  /** @param {number} face */
  takenOut: (face) => `Face ${face} taken out.`,
  /** @param {number} face */
  covered: (face) => `Face ${face} left out: a drawn box stands in its place.`,
  /** @param {number} face */
  moved: (face) => `Face ${face} moved.`,
  /** @param {number} box */
  added: (box) => `Box ${box} added.`,
  /** @param {number} box */
  removed: (box) => `Box ${box} removed.`,
  /** @param {string} entry */
  unreadable: (entry) => `'${entry}' is no entry of a choice. Correct the text, or begin anew with Clear.`,
  /** @param {number} taken @param {number} faces @param {number} drawn */
  sum: (taken, faces, drawn) =>
    `${taken} of ${counted(faces, "face")} taken${drawn === 0 ? "" : `, and ${drawn} drawn`}.`,
  /** @param {number} count */
  unmatched: (count) =>
    `${counted(count, "entry", "entries")} of the choice ${count === 1 ? "matches" : "match"} no face here.`,
  /** @param {number} count @param {number} width @param {number} height */
  otherSize: (count, width, height) =>
    `${count === 1 ? "The box was" : "The boxes were"} drawn in a picture of ${width} x ${height} pixels.`,
  fixed: "The choice comes from another node.",
  /** @param {number} face @param {number} size @param {number} across @param {number} down */
  face: (face, size, across, down) =>
    `Face ${face}, ${size} pixels, ${across} percent from the left, ${down} from the top`,
  drawn: "box drawn by hand",
  /** @param {number} box */
  box: (box) => `Box ${box}. Arrow keys move it, Shift and arrow keys resize it, Delete removes it`,
  /** @param {number} box */
  remove: (box) => `Remove box ${box}`,
};

/** @typedef {typeof ENGLISH} Texts */

/** @type {Texts} */
const CHINESE = {
  picker: "在图片中挑选人脸",
  hint: "点击人脸可取消或重新选取；拖动可添加方框；按住 Shift 拖动可移动方框。",
  before: "运行工作流后，这里会显示图片和其中的人脸。",
  gone: "图片已不存在，请重新运行工作流。",
  tools: "所有人脸",
  all: "全选",
  takeAll: "选取所有人脸",
  none: "全不选",
  takeNone: "不选取任何人脸",
  add: "添加方框",
  addBox: "在未检测到人脸处添加方框",
  clear: "清除",
  clearAll: "清除所有图片的全部选择，包括绘制的方框",
  previous: "上一张图片",
  next: "下一张图片",
  place: (image, total) => `第 ${image} 张，共 ${total} 张`,
  othersTaken: (shown) => `只显示前 ${shown} 张图片；其余图片中的人脸全部选取。`,
  othersByText: (shown) => `只显示前 ${shown} 张图片；其余图片以选择文本为准。`,
  allTaken: "已选取所有人脸。",
  noneTaken: "未选取任何人脸。",
  cleared: "选择已清除。",
  taken: (face) => `已选取人脸 ${face}。`,
  takenOut: (face) => `已取消人脸 ${face}。`,
  covered: (face) => `人脸 ${face} 不选取：它的位置上有绘制的方框。`,
  moved: (face) => `已移动人脸 ${face}。`,
  added: (box) => `已添加方框 ${box}。`,
  removed: (box) => `已删除方框 ${box}。`,
  unreadable: (entry) => `“${entry}”不是有效的选择条目。请修改文本，或点击“清除”重新开始。`,
  sum: (taken, faces, drawn) => `共 ${faces} 张人脸，已选取 ${taken} 张${drawn === 0 ? "" : `，另绘制 ${drawn} 个方框`}。`,
  unmatched: (count) => `选择中有 ${count} 个条目在此图中没有对应的人脸。`,
  otherSize: (_, width, height) => `绘制的方框是在 ${width} x ${height} 像素的图片上画的。`,
  fixed: "选择来自另一个节点。",
  face: (face, size, across, down) => `人脸 ${face}，${size} 像素，距左侧 ${across}%，距顶部 ${down}%`,
  drawn: "手动绘制的方框",
  box: (box) => `方框 ${box}。方向键移动，Shift 加方向键调整大小，Delete 删除`,
  remove: (box) => `删除方框 ${box}`,
};

/**
 * @param {unknown} locale of ComfyUI's page: "en", "zh" and others
 * @returns {Texts} in English where the pack does not speak the language
 */
export const textsIn = (locale) => (locale === "zh" ? CHINESE : ENGLISH);
