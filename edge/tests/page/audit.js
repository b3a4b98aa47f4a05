// Looks through a document as it is rendered, and gives what is wrong with it, in words.
() => {
  const problems = [];
  const all = [...document.querySelectorAll("*")];
  const unseen = (node) => node.closest("[hidden], [aria-hidden='true'], noscript, head") !== null;
  const told = (node) =>
    `${node.tagName.toLowerCase()}${node.id ? `#${node.id}` : ""}.${node.className}`;
  const shown = all.filter((node) => !unseen(node) && node.checkVisibility());

  const pen = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => {
    pen.clearRect(0, 0, 1, 1);
    pen.fillStyle = colour;
    pen.fillRect(0, 0, 1, 1);
    return [...pen.getImageData(0, 0, 1, 1).data];
  };
  const luminance = (channels) => {
    const [r, g, b] = channels.slice(0, 3).map((value) => {
      const share = value / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (one, other) => {
    const [dark, light] = [luminance(one), luminance(other)].sort((a, b) => a - b);
    return (light + 0.05) / (dark + 0.05);
  };
  const ground = (node) => {
    for (let at = node; at; at = at.parentElement) {
      const colour = rgba(getComputedStyle(at).backgroundColor);
      if (colour[3] === 255) return colour;
    }
    return [255, 255, 255, 255];
  };

  // Text against what is behind it.
  for (const node of document.querySelectorAll("body *")) {
    const text = [...node.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
    if (!text || node.closest("[hidden], noscript, .unseen, .skip") || !node.checkVisibility()) {
      continue;
    }
    const style = getComputedStyle(node);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    const found = contrast(rgba(style.color), ground(node));
    if (found < (large ? 3 : 4.5)) problems.push(`contrast ${found.toFixed(2)}: ${told(node)}`);
    if (size < 12) problems.push(`small text, ${size} px: ${told(node)}`);
  }
  // What is drawn in colour against the track below it.
  for (const fill of document.querySelectorAll(".fill, .level-fill, .strip li")) {
    if (!fill.checkVisibility() || fill.closest(".stale")) continue;
    const style = getComputedStyle(fill);
    const colour = fill.matches("li") ? style.borderBottomColor : style.backgroundColor;
    const found = contrast(rgba(colour), ground(fill.parentElement));
    if (rgba(colour)[3] && found < 3) problems.push(`colour ${found.toFixed(2)}: ${told(fill)}`);
  }

  // Every control and meter has a name.
  const named = (node) =>
    node.getAttribute("aria-label")?.trim() ||
    node.getAttribute("aria-labelledby")?.split(" ").every(
      (id) => document.getElementById(id)?.textContent.trim()) ||
    [...(node.labels ?? [])].some((label) => label.textContent.trim()) ||
    (node.matches("button, a, summary") && node.textContent.trim());
  const controls = "a, button, input, progress, summary, section, [role], [tabindex='0']";
  for (const node of shown.filter((candidate) => candidate.matches(controls))) {
    const plain = node.matches("[role='alert'], [role='status']");
    if (!plain && !named(node)) problems.push(`no name: ${told(node)}`);
    const needed = { meter: ["valuenow", "valuetext"], slider: ["valuenow", "valuetext"] };
    for (const part of needed[node.getAttribute("role")] ?? []) {
      if (!node.hasAttribute(`aria-${part}`)) problems.push(`no aria-${part}: ${told(node)}`);
    }
  }

  // Landmarks of one kind are told apart by their names.
  const calledBy = (node) =>
    node.getAttribute("aria-label") ?? node.getAttribute("aria-labelledby") ?? "";
  const regions = shown.filter((n) => n.matches("section, [role='region']")).map(calledBy);
  const twice = regions.filter((name, i) => regions.indexOf(name) !== i);
  problems.push(...twice.map((name) => `two regions with one name: ${name}`));

  // Fingers: everything that can be pressed is large enough.
  for (const node of shown.filter((n) => n.matches("button, input, summary, .choose"))) {
    if (node.matches(".file")) continue;
    const { width, height } = node.getBoundingClientRect();
    if (height < 44 || width < 44) problems.push(`${width}x${height} px: ${told(node)}`);
  }

  // Structure.
  for (const node of all) {
    if (node.tabIndex > 0) problems.push(`positive tabindex: ${told(node)}`);
    if (node.hasAttribute("style") && !node.style.length) problems.push(`style: ${told(node)}`);
    for (const name of node.getAttributeNames()) {
      if (name.startsWith("on")) problems.push(`${name}: ${told(node)}`);
    }
  }
  const ids = all.map((node) => node.id).filter(Boolean);
  problems.push(...ids.filter((id, i) => ids.indexOf(id) !== i).map((id) => `id twice: ${id}`));
  const references = ["aria-labelledby", "aria-describedby", "for"];
  for (const [node, id] of all.flatMap((n) =>
    references.flatMap((name) => (n.getAttribute(name) ?? "").split(" ").map((id) => [n, id])))) {
    if (id && !document.getElementById(id)) problems.push(`${told(node)} names ${id}`);
  }
  const levels = shown.filter((n) => /^H[1-6]$/.test(n.tagName)).map((n) => Number(n.tagName[1]));
  levels.forEach((level, i) => {
    if (level - (levels[i - 1] ?? 0) > 1) problems.push(`heading ${level} after ${levels[i - 1]}`);
  });
  if (levels.filter((level) => level === 1).length !== 1) problems.push("not one h1");
  for (const mark of ["header", "main", "footer"]) {
    if (document.querySelectorAll(mark).length !== 1) problems.push(`not one ${mark}`);
  }
  if (!document.documentElement.lang) problems.push("no language");
  const polite = document.querySelectorAll("[aria-live='polite'], [role='status'], output");
  if (polite.length !== 1) problems.push(`${polite.length} polite regions`);
  for (const image of document.images) {
    if (!image.hasAttribute("alt")) problems.push(`no alt: ${told(image)}`);
  }
  return problems;
}
