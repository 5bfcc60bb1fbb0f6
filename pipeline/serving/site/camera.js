/** The camera: a dialog with its preview, and pictures from it as files. */

import { byId } from "./elements.js";

const JPEG_QUALITY = 0.95;

/** @param {(file: File) => void} onPicture receives every picture that is taken */
export function connectCamera(onPicture) {
  const dialog = byId("camera");
  const video = byId("camera-video");
  let stream = null;
  let pictures = 0;

  async function open() {
    byId("camera-take").disabled = true;
    byId("camera-state").textContent = "Waiting for the camera…";
    dialog.showModal();
    try {
      if (!navigator.mediaDevices) {
        throw new DOMException("browsers allow it only over HTTPS or on the server's own machine");
      }
      stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
      if (!dialog.open) return stop();
      video.srcObject = stream;
      await video.play();
      byId("camera-state").textContent = "";
      byId("camera-take").disabled = false;
      byId("camera-take").focus();
    } catch (error) {
      byId("camera-state").textContent = `The camera cannot be used: ${error.message}.`;
    }
  }

  function stop() {
    stream?.getTracks().forEach((track) => track.stop());
    stream = video.srcObject = null;
  }

  function take() {
    const canvas = document.createElement("canvas");
    canvas.width = video.videoWidth;
    canvas.height = video.videoHeight;
    canvas.getContext("2d").drawImage(video, 0, 0);
    pictures += 1;
    const name = `camera-${pictures}.jpg`;
    canvas.toBlob((blob) => onPicture(new File([blob], name, { type: "image/jpeg" })), "image/jpeg", JPEG_QUALITY);
    dialog.close();
  }

  byId("camera-open").addEventListener("click", open);
  byId("camera-take").addEventListener("click", take);
  byId("camera-close").addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", stop);
}
