/**
 * The passage that `specattn generate` continues without a prompt, and the beginning of the one whose kept keys
 * `report` shows. It was written for this project, in the manner of the books that the embedded pair was trained on.
 */
export const PASSAGE = `The lighthouse stood a mile beyond the village, upon a tongue of black rock which the sea covered twice \
a day, and old Martin Hale had kept it for one and thirty years. He was a tall, silent man, with a grey beard and very clear \
eyes, and the fishermen said of him that he knew the wind as other men know their neighbours.

On the evening of which I write, his granddaughter Alice had carried his supper across the causeway before the tide. She found \
him at the upper window, with the glass at his eye, looking towards the west, where a bank of cloud lay along the water like a \
second shore.

"There is a ship out there," said he, without turning his head. "She has lost her foremast, and she is coming in too near."

Alice set down the basket and came to his side. At first she could see nothing but the long grey swell; then the cloud parted, \
and`;

/** The passage is continued at this temperature: small models repeat themselves when they only take the likeliest token. */
export const PASSAGE_TEMPERATURE = 0.7;
