/**
 * The passage whose kept keys `report` shows by default. It is long enough that the verifier reads only a few of its
 * keys.
 */
import {PASSAGE} from './built_in_passage.js';

export const LONG_PASSAGE = `${PASSAGE} she saw the ship: a dark hull, very low in the water, and two masts where there should have been three. The \
foremost was gone by the board, and a tangle of ropes and canvas hung over the side and dragged in the sea.

"Will she clear the point?" asked Alice.

"Not unless the wind changes," said the old man; "and it will not change before morning. Light the lamp, my girl. I must go down \
to the bell."

She had lit the lamp a hundred times, but never with such unsteady hands. The flame ran round the wick and steadied; the great glass \
turned it into a beam, and the beam went out over the water and found the cloud, and the swell, and at last the ship. In the \
village they saw it too. One by one the windows of the cottages were lighted, and men came out upon the shingle with lanterns in their \
hands, and stood looking at the sea.

Below her, on the black rock, Martin Hale had begun to ring the bell. He rang it slowly and evenly, as he had rung it on \
every night of fog for one and thirty years, and Alice, at the upper window, counted the strokes as she had counted them when she \
was a child. The tide had covered the causeway. There was no going back to the village now, and no help would come from it before the \
sea went down. She took the glass that her grandfather had left, and held it to her eye, and looked towards the ship.

There was a man at the wheel. He had seen the light.
`;
