/** What people bring, as pictures: files and frames of a camera, read by the browser. */

import { NotAnImage } from "../errors.ts";
import { checkSize, fromImageData, type Picture } from "./pictures.ts";

/** A file of a kind that the browser reads, turned upright by its EXIF orientation, alpha over white; raises NotAnImage. */
export async function readPhoto(file: Blob): Promise<Picture> {
  let bitmap: ImageBitmap;
  try {
    bitmap = await createImageBitmap(file, { imageOrientation: "from-image", premultiplyAlpha: "none" });
  } catch (error) {
    throw new NotAnImage("not an image that this browser reads, or a damaged or cut off one", { cause: error });
  }
  try {
    return fromFrame(bitmap, bitmap.width, bitmap.height);
  } finally {
    bitmap.close();
  }
}

/** What a camera shows now: never mirrored, whatever the page shows to whoever stands before it. Raises NotAnImage before it shows anything. */
export function readVideo(video: HTMLVideoElement): Picture {
  if (!video.videoWidth || !video.videoHeight) throw new NotAnImage("the camera shows no picture yet");
  return fromFrame(video, video.videoWidth, video.videoHeight);
}

function fromFrame(source: CanvasImageSource, width: number, height: number): Picture {
  checkSize(width, height);
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  if (!context) throw new NotAnImage("this browser gives no canvas to read pictures with");
  context.drawImage(source, 0, 0);
  return fromImageData(context.getImageData(0, 0, width, height));
}
