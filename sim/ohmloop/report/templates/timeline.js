// Zooms and pans the timeline: what part of the drawing is seen, ticks, names where there is room for them.
"use strict";
(() => {
  const HEAD = 36;  // pixels above the drawing, for the ticks
  const figure = document.getElementById("timeline");
  const svg = document.getElementById("timeline-svg");
  const stage = figure.querySelector(".stage");
  const [ticks, names] = [figure.querySelector(".ticks"), figure.querySelector(".names")];
  const readout = figure.querySelector("output");
  const total = Number(figure.dataset.clocks), period = Number(figure.dataset.microseconds);
  const height = svg.viewBox.baseVal.height;
  const bars = [...svg.querySelectorAll(".instruction rect, .phase rect")].map(rect => ({
    x: Number(rect.getAttribute("x")), width: Number(rect.getAttribute("width")),
    top: HEAD + Number(rect.getAttribute("y")), low: Number(rect.getAttribute("height")) < 20,
    text: rect.textContent.replace(/^[^:]*: /, "").replace(/;.*/, ""),
  }));
  let from = 0, span = total;

  const label = (text, left, extra) => {
    const element = document.createElement("span");
    element.textContent = text;
    element.style.left = `${left}px`;
    Object.assign(element.style, extra);
    return element;
  };

  const show = (newFrom, newSpan) => {
    span = Math.min(total, Math.max(16, newSpan));
    from = Math.min(total - span, Math.max(0, newFrom));
    svg.setAttribute("viewBox", `${from} 0 ${span} ${height}`);
    const width = stage.clientWidth, scale = width / span;
    const rough = 64 / scale, power = 10 ** Math.floor(Math.log10(rough));
    const step = Math.max(1, [1, 2, 5, 10].map(k => k * power).find(k => k >= rough));
    const marks = [];
    for (let clock = Math.ceil(from / step) * step; clock < from + span; clock += step) {
      const time = Number((clock * period).toPrecision(5));
      marks.push(label(`${clock}\n${time} µs`, (clock - from) * scale, {}));
    }
    ticks.replaceChildren(...marks);
    names.replaceChildren(...bars.filter(bar => bar.x < from + span && bar.x + bar.width > from).flatMap(bar => {
      const left = Math.max(0, (bar.x - from) * scale);
      const right = Math.min(width, (bar.x + bar.width - from) * scale);
      if (right - left < (bar.low ? 8 * bar.text.length : 40)) return [];
      const name = label(bar.text, left, {top: `${bar.top}px`, maxWidth: `${right - left}px`});
      name.classList.toggle("low", bar.low);
      return [name];
    }));
  };

  const zoom = (factor, at = 0.5) => show(from + span * at * (1 - factor), span * factor);
  const actions = {
    in: () => zoom(0.5), out: () => zoom(2), left: () => show(from - span / 4, span),
    right: () => show(from + span / 4, span), all: () => show(0, total),
  };
  figure.querySelectorAll("button").forEach(button => button.addEventListener("click", actions[button.dataset.act]));
  figure.querySelector("select")?.addEventListener("change", event => {
    const [start, end] = event.target.value.split(" ").map(Number), margin = 0.03 * (end - start);
    show(start - margin, end - start + 2 * margin);
  });
  const keys = {"+": "in", "-": "out", ArrowLeft: "left", ArrowRight: "right", 0: "all"};
  stage.addEventListener("keydown", event => {
    if (event.ctrlKey || event.metaKey || !(event.key in keys)) return;
    event.preventDefault();
    actions[keys[event.key]]();
  });
  const place = event => (event.clientX - stage.getBoundingClientRect().left) / stage.clientWidth;
  stage.addEventListener("wheel", event => {
    if (event.ctrlKey || event.metaKey) zoom(1.002 ** event.deltaY, place(event));
    else if (Math.abs(event.deltaX) > Math.abs(event.deltaY)) show(from + event.deltaX / stage.clientWidth * span, span);
    else return;
    event.preventDefault();
  }, {passive: false});

  const fingers = new Map();
  const tell = event => {
    const title = event.target.closest?.("rect, path")?.querySelector("title");
    if (title) readout.textContent = title.textContent;
  };
  stage.addEventListener("pointerdown", event => { fingers.set(event.pointerId, place(event)); tell(event); });
  stage.addEventListener("pointermove", event => {
    const before = fingers.get(event.pointerId), now = place(event);
    if (before === undefined) return tell(event);
    const other = [...fingers].find(([id]) => id !== event.pointerId)?.[1];
    if (other === undefined) show(from - (now - before) * span, span);
    else if (Math.abs(now - other) > 0.02) zoom(Math.abs(before - other) / Math.abs(now - other), other);
    fingers.set(event.pointerId, now);
  });
  for (const end of ["pointerup", "pointercancel", "pointerleave"])
    stage.addEventListener(end, event => fingers.delete(event.pointerId));
  new ResizeObserver(() => show(from, span)).observe(stage);
})();
