/** Pan and zoom as arithmetic: a view is a scale and the screen place of the drawing's origin. */

export interface View {
  k: number;
  x: number;
  y: number;
}

export interface Size {
  width: number;
  height: number;
}

export const MIN_SCALE = 0.12;
export const MAX_SCALE = 3;

/**
 * The whole drawing, centred, as large as the frame allows but little larger than life. `aside`
 * is kept free at the right for texts that do not shrink with the drawing.
 */
export function fit(drawing: Size, frame: Size, padding = 6, aside = frame.width < 700 ? 28 : 0): View {
  const k = Math.min(
    (frame.width - 2 * padding - aside) / Math.max(drawing.width, 1),
    (frame.height - 2 * padding) / Math.max(drawing.height, 1),
    1.25,
  );
  const scale = Math.max(k, MIN_SCALE);
  return {
    k: scale,
    x: (frame.width - aside - drawing.width * scale) / 2,
    y: Math.max(padding, (frame.height - drawing.height * scale) / 2),
  };
}

/** Scales by `factor` and keeps what is at `at` (screen) where it is. */
export function zoom(view: View, factor: number, at: { x: number; y: number }): View {
  const k = Math.min(Math.max(view.k * factor, MIN_SCALE), MAX_SCALE);
  const ratio = k / view.k;
  return { k, x: at.x - (at.x - view.x) * ratio, y: at.y - (at.y - view.y) * ratio };
}

/** Moves, but never so far that less than a quarter of the frame shows the drawing. */
export function pan(view: View, dx: number, dy: number, drawing: Size, frame: Size): View {
  const keep = (at: number, size: number, room: number): number =>
    Math.min(Math.max(at, room / 4 - size), (room * 3) / 4);
  return {
    k: view.k,
    x: keep(view.x + dx, drawing.width * view.k, frame.width),
    y: keep(view.y + dy, drawing.height * view.k, frame.height),
  };
}
