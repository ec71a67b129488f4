/** Places the labels of a chart so that none covers another. */
import {FONT_SIZE, textWidth} from './svg.js';

/** A place in pixels from the plot's upper left corner. */
export interface Place {
  x: number;
  y: number;
}

/** A label of the point at (x, y). */
export interface Label extends Place {
  text: string;
  /**
   * Whether the label must be shown, as the name of a series beside its last point; others are shown where there is
   * room.
   */
  required: boolean;
}

/** A label at its final place. */
export interface PlacedLabel extends Place {
  text: string;
  align: 'left' | 'center' | 'right';
}

interface Box {
  left: number;
  right: number;
  top: number;
  bottom: number;
}

const HEIGHT = FONT_SIZE;
/** Pixels from a point to its label. */
const GAP = 7;
/** Costs of covering a label, a point or a piece of a line, and of leaving the room. Covering a label is the last resort. */
const COST = {label: 1000, point: 10, line: 1, outside: 1000};

/**
 * Tries places around the point of each label, required labels first, and takes the place with the least cost. Required
 * labels are tried at several heights; other labels are dropped where every place would cover a label or leave the
 * room.
 *
 * @param points the points of all series
 * @param lines places along the lines, a few pixels apart
 * @param room the box that labels should stay in
 */
export function placeLabels(
  labels: readonly Label[],
  points: readonly Place[],
  lines: readonly Place[],
  room: Box,
): PlacedLabel[] {
  const taken: Box[] = [];
  const placed: PlacedLabel[] = [];
  const cost = (box: Box) => {
    const covers = (place: Place, by: number) =>
      place.x + by > box.left &&
      place.x - by < box.right &&
      place.y + by > box.top &&
      place.y - by < box.bottom;
    const outside =
      box.left < room.left || box.right > room.right || box.top < room.top || box.bottom > room.bottom;
    return (
      COST.label * taken.filter((other) => overlap(box, other)).length +
      COST.point * points.filter((point) => covers(point, 3)).length +
      COST.line * lines.filter((place) => covers(place, 1)).length +
      (outside ? COST.outside : 0)
    );
  };
  const inOrder = [...labels].sort((a, b) => Number(b.required) - Number(a.required));
  for (const label of inOrder) {
    const options = candidates(label).map((candidate) => ({candidate, box: boxOf(candidate)}));
    const costs = options.map(({box}) => cost(box));
    const least = Math.min(...costs);
    if (least >= COST.label && !label.required) continue;
    const {candidate, box} = options[costs.indexOf(least)];
    placed.push(candidate);
    taken.push(box);
  }
  return placed;
}

function candidates({x, y, text, required}: Label): PlacedLabel[] {
  const around: PlacedLabel[] = [
    {x, y: y - GAP - HEIGHT / 2, text, align: 'center'},
    {x, y: y + GAP + HEIGHT / 2, text, align: 'center'},
    {x: x + GAP, y, text, align: 'left'},
    {x: x - GAP, y, text, align: 'right'},
  ];
  if (!required) return around;
  const shifts = Array.from({length: 25}, (_, i) => (i % 2 ? 1 : -1) * Math.ceil(i / 2) * (HEIGHT / 2));
  return shifts.map((shift) => ({x: x + GAP + 2, y: y + shift, text, align: 'left'}));
}

function boxOf({x, y, text, align}: PlacedLabel): Box {
  const width = textWidth(text);
  const left = align === 'left' ? x : align === 'right' ? x - width : x - width / 2;
  return {left, right: left + width, top: y - HEIGHT / 2, bottom: y + HEIGHT / 2};
}

function overlap(a: Box, b: Box): boolean {
  return a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
}
