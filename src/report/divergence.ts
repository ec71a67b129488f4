/** The figure of the layer map: how far the attention of draft and verifier layers is apart. Figure 2 of the SpecAttn paper. */
import {drawHeatmap} from './heatmap.js';
import {fixed, grouped, type Drawn, type Figure, type Table} from './figure.js';
import type {DrawnMap} from './read.js';

const TITLE = 'Attention of draft and verifier compared (Figure 2)';

export async function drawDivergence(map: DrawnMap | undefined): Promise<Drawn> {
  if (!map) {
    const command = 'npx specattn calibrate --draft D --verifier V --text book.txt --out DIR/layer_map.json';
    const reason = 'there is no layer_map.json, neither here nor beside the verifier';
    return {missing: [{figure: TITLE, reason, command}]};
  }
  const figure: Figure = {
    id: 'divergence',
    title: TITLE,
    notes: [
      `Kullback-Leibler divergence in nats of the attention of each verifier layer from that of each draft layer, means over heads and over ${grouped(map.text.rows)} rows of text in windows of ${grouped(map.text.window)} tokens. Boxed: the draft layer that each verifier layer is mapped to, the map that never decreases with the least sum.`,
      ...(map.mixture
        ? [
            'The map in use is a mixture of all the draft’s heads and the verifier’s attention history; the table has the divergence that it leaves.',
          ]
        : []),
    ],
    panels: [
      {
        name: 'divergence',
        svg: await drawHeatmap(map.kl, map.layers),
        narrow: await drawHeatmap(map.kl, map.layers, 'narrow'),
      },
    ],
    tables: [tableOf(map)],
  };
  return {figure, missing: []};
}

function tableOf(map: DrawnMap): Table {
  const {mixture} = map;
  return {
    title: 'The map, KL in nats',
    head: [
      'verifier layer',
      'draft layer',
      'KL',
      'least KL of a layer',
      ...(mixture ? ['KL of the mixture'] : []),
    ],
    rows: map.layers.map((layer, i) => [
      String(i),
      String(layer),
      fixed(map.kl[i][layer], 3),
      fixed(Math.min(...map.kl[i]), 3),
      ...(mixture ? [fixed(mixture.kl[i], 3)] : []),
    ]),
  };
}
