"use strict";
// Adds a button to blocks of commands and code. Everything works without.
for (const block of document.querySelectorAll("pre.copy, .readme pre")) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "copybutton";
  button.textContent = "Copy";
  button.addEventListener("click", async () => {
    const code = block.querySelector("code") || block;
    try {
      await navigator.clipboard.writeText(code.textContent.replace(/\n$/, ""));
      button.textContent = "Copied";
    } catch {
      // Without TLS browsers offer no clipboard: select, so that a key copies.
      getSelection().selectAllChildren(code);
      button.textContent = "Selected";
    }
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  });
  const frame = document.createElement("div");
  frame.className = "copyframe";
  block.replaceWith(frame);
  frame.append(block, button);
}
// On narrow screens lists of files and settings begin closed.
if (matchMedia("(max-width: 60rem)").matches) {
  for (const list of document.querySelectorAll(".files > details, .keys > details")) list.open = false;
}
