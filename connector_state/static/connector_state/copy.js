/* Buttons that copy what is shown: <button type="button" data-copies="ID" hidden>. */
"use strict";

async function copy(source) {
    const range = document.createRange();
    range.selectNodeContents(source);
    getSelection().removeAllRanges();
    getSelection().addRange(range);
    try {
        await navigator.clipboard.writeText(source.textContent);
        return true;
    } catch {
        // Over plain HTTP browsers have no clipboard; the old way may work there.
        return document.execCommand("copy");
    }
}

for (const button of document.querySelectorAll("button[data-copies]")) {
    button.hidden = false;
    button.addEventListener("click", async () => {
        const copied = await copy(document.getElementById(button.dataset.copies));
        document.getElementById("copied").textContent = copied
            ? `Copied ${button.dataset.name}.`
            : `It could not be copied. ${button.dataset.name} is selected: copy it with the keyboard.`;
    });
}
