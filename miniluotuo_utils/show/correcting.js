// Draws the state of a Form (correcting.py) and sends what its reader does. Every text goes in as
// text: nothing of a sentence or of a type can become HTML.

const BOX = "border-radius:4px;padding:1px 0;border-bottom:3px solid ";
const BUTTON = "margin:2px;padding:3px 10px;border-radius:4px;border:1px solid #57606a;" +
  "font-size:14px;cursor:pointer;color:#1f2328;background:";

function node(tag, style, text) {
  const made = document.createElement(tag);
  made.style.cssText = style;
  if (text !== undefined) made.textContent = text;
  return made;
}

function render({ model, el }) {
  const root = node("div", "padding:8px;margin:3px;background:#fff;color:#1f2328;font-size:16px");
  root.className = "miniluotuo-correcting";
  root.tabIndex = 0;
  // JupyterLab would take letters and Enter for its own commands.
  root.setAttribute("data-lm-suppress-shortcuts", "true");
  // Whether keys are the form's must be seen: elsewhere Z and 1 are commands of the notebook.
  const ring = (colour) => { root.style.outline = `2px solid ${colour}`; };
  root.addEventListener("focusin", () => ring("#0969da"));
  root.addEventListener("focusout", () => ring("transparent"));
  ring("transparent");
  // A screen reader hands its keys on, and reads what stands in `live`.
  root.setAttribute("role", "application");
  root.setAttribute("aria-label", "改一句 correct a sentence");
  const live = node("div", "position:absolute;width:1px;height:1px;overflow:hidden;" +
    "clip-path:inset(50%)");
  live.setAttribute("aria-live", "polite");
  const board = node("div", "");
  root.append(live, board);
  el.appendChild(root);

  let cursor = 0;
  let anchor = null; // where a selection by keyboard began
  let selected = null; // [start, end) of the characters that are selected

  // Says which sentence it means: a key pressed before the kernel answers is for the one shown.
  const send = (message) => model.send({ ...message, turn: model.get("state").turn });
  const speak = (text) => { live.textContent = text; };
  const innermost = (at) => {
    let best = -1;
    model.get("state").entities.forEach((one, number) => {
      const size = one.end - one.start;
      const inside = one.start <= at && at < one.end;
      const kept = model.get("state").entities[best];
      if (inside && (best < 0 || size < kept.end - kept.start)) best = number;
    });
    return best;
  };

  // A type is for what is selected, else for the entity at the cursor.
  const give = (number) => {
    const kind = model.get("state").types[number];
    if (!kind) return;
    if (selected) {
      send({ do: "add", start: selected[0], end: selected[1], type: kind.name });
      letGo();
    } else atCursor({ do: "retype", type: kind.name });
  };
  const remove = () => atCursor({ do: "remove" });
  const atCursor = (message) => {
    const one = model.get("state").entities[innermost(cursor)];
    if (one) send({ ...message, start: one.start, end: one.end });
  };

  function move(by, selecting) {
    const last = model.get("state").characters.length - 1;
    if (selecting && anchor === null) anchor = cursor;
    if (!selecting) anchor = null;
    // The first Shift + arrow takes the character at the cursor, each further one the next.
    const held = selecting && !selected;
    if (!held) cursor = Math.max(0, Math.min(last, cursor + by));
    selected = selecting ? [Math.min(anchor, cursor), Math.max(anchor, cursor) + 1] : null;
    speak(model.get("state").characters.slice(...(selected || [cursor, cursor + 1])).join(""));
    draw();
  }

  function pressed(event) {
    if (event.isComposing || event.ctrlKey || event.metaKey || event.altKey) return;
    const key = event.key.toLowerCase();
    const inButton = event.target.tagName === "BUTTON";
    if (inButton && (key === "enter" || key === " ") && !event.repeat) return;
    // Shift may still be held from selecting: then `key` is no digit.
    const digit = /^Digit([1-9])$/.exec(event.code) || /^([1-9])$/.exec(key);
    // Held down, a key moves; it does not accept sentences that nobody has read.
    if (event.repeat && !/^(arrow|tab)/.test(key)) return stop(event);
    if (key === "enter") send({ do: "accept" });
    else if (key === "n") send({ do: "skip" });
    else if (key === "b") send({ do: "back" });
    else if (key === "z") send({ do: "undo" });
    else if (key === "delete" || key === "backspace") remove();
    else if (key === "arrowright") move(1, event.shiftKey);
    else if (key === "arrowleft") move(-1, event.shiftKey);
    else if (key === "escape" && selected) letGo();
    else if (digit) give(Number(digit[1]) - 1);
    else return;
    stop(event);
  }
  function stop(event) {
    event.preventDefault();
    event.stopPropagation();
  }
  function letGo() {
    [selected, anchor] = [null, null];
    draw();
  }
  root.addEventListener("keydown", pressed);

  // Within a shadow root, where a notebook may draw, Chromium's window knows of no selection.
  const marked = () => {
    const place = root.getRootNode();
    return place.getSelection ? place.getSelection() : window.getSelection();
  };
  // What the mouse selected: the first and the last character that the selection touches.
  function chosen() {
    const selection = marked();
    if (!selection || !selection.rangeCount || selection.isCollapsed) return null;
    const range = selection.getRangeAt(0);
    const touched = [...root.querySelectorAll("[data-at]")].filter((one) => {
      const inside = document.createRange();
      inside.selectNodeContents(one);
      return range.compareBoundaryPoints(Range.END_TO_START, inside) < 0 &&
        range.compareBoundaryPoints(Range.START_TO_END, inside) > 0;
    });
    if (!touched.length) return null;
    return [Number(touched[0].dataset.at), Number(touched.at(-1).dataset.at) + 1];
  }
  // A press within the form may be let go anywhere.
  let pressing = false;
  root.addEventListener("mousedown", (event) => {
    pressing = !event.target.closest("button");
  });
  function released(event) {
    if (!pressing) return;
    pressing = false;
    const found = chosen();
    const under = event.composedPath()[0];
    const character = root.contains(under) && under.closest && under.closest("[data-at]");
    if (found) [selected, cursor] = [found, found[0]];
    else if (character) [selected, cursor, anchor] = [null, Number(character.dataset.at), null];
    else return;
    marked().removeAllRanges();
    root.focus({ preventScroll: true });
    draw();
  }
  document.addEventListener("mouseup", released);

  function button(text, fill, act) {
    const made = node("button", BUTTON + fill, text);
    made.type = "button";
    // A press must not take the selection away.
    made.addEventListener("mousedown", (event) => event.preventDefault());
    made.addEventListener("click", () => { act(); root.focus({ preventScroll: true }); });
    return made;
  }

  function sentence(state) {
    const line = node("div", "line-height:2.4;font-size:18px;overflow-wrap:anywhere;padding:4px 0");
    line.className = "miniluotuo-sentence";
    state.characters.forEach((text, at) => {
      const number = innermost(at);
      const one = state.entities[number];
      const kind = one && state.types.find((type) => type.name === one.type);
      const picked = selected && selected[0] <= at && at < selected[1];
      let style = "white-space:pre-wrap;padding:1px 0;";
      if (kind) style += `background:${kind.fill};${BOX}${kind.edge};`;
      if (picked) style += "background:#1f2328;color:#fff;";
      if (at === cursor) style += "box-shadow:inset 2px 0 0 #cf222e;";
      const character = node("span", style, text);
      character.dataset.at = at;
      line.appendChild(character);
      state.entities.filter((other) => other.end === at + 1).forEach((other) => {
        const shade = state.types.find((type) => type.name === other.type);
        const label = node("small", "user-select:none;margin:0 4px 0 2px;font-weight:bold;" +
          `font-size:12px;color:${shade ? shade.edge : "#57606a"}`, `｜${other.type}`);
        line.appendChild(label);
      });
    });
    return line;
  }

  function draw() {
    const state = model.get("state");
    const inside = board.contains(root.getRootNode().activeElement);
    board.replaceChildren();
    const head = `改好 corrected ${state.done} / ${state.count}` +
      (state.corrected ? " · 这一句改过 corrected before" : "") +
      (state.changed ? ` · 改了 ${state.changed} 处 changes` : "") +
      (state.drafts ? ` · 还没存 not saved yet: ${state.drafts}` : "");
    board.appendChild(node("div", "font-size:13px;color:#57606a", head));
    if (state.ended) board.appendChild(node("b", "", "都改完了。 All sentences are corrected."));
    else board.appendChild(sentence(state));

    const types = node("div", "");
    state.types.forEach((kind, number) => {
      const label = number < 9 ? `${number + 1} ${kind.name}` : kind.name;
      const made = button(label, kind.fill, () => give(number));
      made.style.borderColor = kind.edge;
      types.appendChild(made);
    });
    types.appendChild(button("去掉 remove", "#fff", remove));
    types.appendChild(button("撤销 undo", "#fff", () => send({ do: "undo" })));
    board.appendChild(types);

    const steps = node("div", "");
    steps.appendChild(button("上一句 back", "#fff", () => send({ do: "back" })));
    steps.appendChild(button("跳过 skip", "#fff", () => send({ do: "skip" })));
    steps.appendChild(button("对，下一句 accept", "#d3f0d9", () => send({ do: "accept" })));
    board.appendChild(steps);
    const red = "color:#a4231c;font-size:13px;white-space:pre-line";
    if (state.said) board.appendChild(node("div", red, state.said));
    board.appendChild(node("div", "font-size:12px;color:#57606a", state.help));
    // The button that had the keyboard is gone.
    if (inside) root.focus({ preventScroll: true });
  }

  // Another sentence: what was selected belongs to the one before. An answer that comes while its
  // reader selects must not take that away.
  let shown = -1;
  function changed() {
    const state = model.get("state");
    if (state.turn !== shown) [shown, cursor, selected, anchor] = [state.turn, 0, null, null];
    const letters = state.characters;
    const names = state.entities.map((one) =>
      `${letters.slice(one.start, one.end).join("")} ${one.type}`);
    speak(state.ended ? "都改完了。 All sentences are corrected." :
      [state.said, letters.join(""), ...names].filter(Boolean).join("；"));
    draw();
  }
  model.on("change:state", changed);
  changed();
  return () => {
    model.off("change:state", changed);
    document.removeEventListener("mouseup", released);
  };
}

export default { render };
