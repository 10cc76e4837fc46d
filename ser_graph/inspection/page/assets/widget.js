// The page in a notebook, as an anywidget: a frame, and the messages between it and Python.

function render({ model, el }) {
  const frame = document.createElement("iframe");
  frame.setAttribute("sandbox", "allow-scripts allow-downloads");
  frame.title = "The graph";
  frame.style.cssText = `width:100%;height:${model.get("height")}px;border:0`;
  frame.srcdoc = model.get("html");

  const fromPage = ({ source, data }) => {
    if (source !== frame.contentWindow || !data) return;
    if (data.ser_graph === "audio") model.send({ clip: data.clip });
    if (data.ser_graph === "selection") model.set("selection", data.clips);
    if (data.ser_graph === "chosen") model.set("chosen", data.clip);
    if (data.ser_graph !== "audio") model.save_changes();
  };
  const fromPython = (content) => frame.contentWindow.postMessage(content, "*");
  window.addEventListener("message", fromPage);
  model.on("msg:custom", fromPython);
  el.append(frame);
  return () => {
    window.removeEventListener("message", fromPage);
    model.off("msg:custom", fromPython);
  };
}

export default { render };
