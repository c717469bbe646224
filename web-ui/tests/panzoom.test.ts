import { expect, it } from 'vitest';
import { fit, MAX_SCALE, pan, zoom } from '../src/lib/panzoom';

const drawing = { width: 1400, height: 1000 };

it('fits the whole drawing into a phone and into a wall screen', () => {
  for (const frame of [{ width: 340, height: 300 }, { width: 1500, height: 940 }]) {
    const view = fit(drawing, frame);
    expect(view.x).toBeGreaterThanOrEqual(0);
    expect(view.y).toBeGreaterThanOrEqual(0);
    expect(view.x + drawing.width * view.k).toBeLessThanOrEqual(frame.width);
    expect(view.y + drawing.height * view.k).toBeLessThanOrEqual(frame.height);
  }
});

it('zooms about a place and not beyond its limit', () => {
  const view = { k: 1, x: 10, y: 20 };
  const closer = zoom(view, 2, { x: 110, y: 120 });
  expect(closer).toEqual({ k: 2, x: -90, y: -80 });
  expect(zoom(view, 1000, { x: 0, y: 0 }).k).toBe(MAX_SCALE);
});

it('never pans the drawing out of sight', () => {
  const frame = { width: 400, height: 300 };
  const far = pan({ k: 0.25, x: 0, y: 0 }, -10_000, 10_000, drawing, frame);
  expect(far.x + drawing.width * far.k).toBeGreaterThanOrEqual(frame.width / 4);
  expect(far.y).toBeLessThanOrEqual((frame.height * 3) / 4);
});
