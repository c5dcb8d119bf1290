// Draw one board from what Prometheus answered: units, thresholds, colours, mappings, transformations, graphs, tables
// and numbers are Grafana's own code. Heatmaps, state timelines and status histories are not in its packages; see
// plain.jsx. What is drawn stands in window.BOARDS (gathered.js); the address says which: page.html#UID or #UID,ROWS.

import '@fontsource/inter/latin-400.css';
import '@fontsource/inter/latin-500.css';
import 'uplot/dist/uPlot.min.css';

import { createRoot } from 'react-dom/client';
import { useEffect, useState } from 'react';
import {
  FieldConfigOptionsRegistry,
  FieldType,
  applyFieldOverrides,
  cacheFieldDisplayNames,
  createTheme,
  dateTime,
  getFieldDisplayValues,
  locationUtil,
  standardTransformers,
  standardTransformersRegistry,
  toDataFrame,
  transformDataFrame,
} from '@grafana/data';
import { BigValue, PanelChrome, ThemeContext, TimeSeries } from '@grafana/ui';
import { TableNG } from '@grafana/ui/unstable';
import { Heatmap, States, dots } from './plain.jsx';

const WIDTH = 1440, COLUMNS = 24, CELL = 30, GAP = 8, MARGIN = 16, HEADING = 44;  // Grafana's grid, in pixels
const COLUMN = (WIDTH - 2 * MARGIN - GAP * (COLUMNS - 1)) / COLUMNS;
const ROWS = '\u2304';
const theme = createTheme({ colors: { mode: 'dark' } });
const same = text => text;

locationUtil.initialize({ config: { appSubUrl: '' }, getVariablesUrlParams: () => ({}), getTimeRangeForUrl: () => ({}) });
standardTransformersRegistry.setInit(() => [standardTransformers.mergeTransformer, standardTransformers.organizeFieldsTransformer].map(
  each => ({ id: each.id, name: each.name, transformation: () => each, editor: () => null })));

// --- frames ---------------------------------------------------------------------------

function legend(pattern, labels) {
  return pattern.replace(/{{\s*(\w+)\s*}}/g, (_, name) => labels[name] ?? '');
}

function asTable(answer, alone) {
  const names = [...new Set(answer.result.flatMap(each => Object.keys(each.metric)))].sort();
  const value = alone ? 'Value' : `Value #${answer.target.refId}`;
  return toDataFrame({ refId: answer.target.refId, fields: [
    { name: 'Time', type: FieldType.time, values: answer.result.map(each => each.value[0] * 1000) },
    ...names.map(name => ({ name, type: FieldType.string, values: answer.result.map(each => each.metric[name]) })),
    { name: value, type: FieldType.number, values: answer.result.map(each => Number(each.value[1])) },
  ] });
}

function asSeries(answer, each) {
  const points = each.values ?? [each.value];
  const name = legend(answer.target.legendFormat, each.metric);
  return toDataFrame({ refId: answer.target.refId, name, fields: [
    { name: 'Time', type: FieldType.time, config: { interval: answer.step * 1000 }, values: points.map(p => p[0] * 1000) },
    { name: 'Value', type: FieldType.number, labels: each.metric, config: { displayNameFromDS: name },
      values: points.map(p => p[1] === 'NaN' ? null : Number(p[1])) },
  ] });
}

function framesOf(panel, answers) {
  if (panel.type === 'table') {
    return answers.filter(answer => answer.result.length).map(answer => asTable(answer, answers.length === 1));
  }
  return answers.flatMap(answer => answer.result.map(each => asSeries(answer, each)));
}

// --- how values look ------------------------------------------------------------------

function grounded(thresholds) {
  return { ...thresholds, steps: thresholds.steps.map(step => ({ ...step, value: step.value ?? -Infinity })) };
}

function fieldConfig(panel) {
  const { defaults, overrides } = panel.fieldConfig;
  const mended = overrides.map(rule => ({ ...rule, properties: rule.properties.map(
    each => each.id === 'thresholds' ? { ...each, value: grounded(each.value) } : each) }));
  return { defaults: { ...defaults, thresholds: grounded(defaults.thresholds) }, overrides: mended };
}

function registry(config) {
  const custom = Object.keys(config.defaults.custom ?? {}).map(path => `custom.${path}`);
  const ids = new Set([...Object.keys(config.defaults), 'min', 'max', 'links', 'custom.cellOptions', ...custom]);
  ids.delete('custom');
  const item = id => ({ id, name: id, path: id.replace(/^custom\./, ''), isCustom: id.startsWith('custom.'),
    shouldApply: () => true, process: same, override: () => null, editor: () => null });
  return new FieldConfigOptionsRegistry(() => [...ids].map(item));
}

function looks(frames, config) {
  return applyFieldOverrides({ data: frames, fieldConfig: config, fieldConfigRegistry: registry(config),
    replaceVariables: same, theme, timeZone: 'utc' });
}

// --- panels ---------------------------------------------------------------------------

function Stat({ panel, frames, config, width, height }) {
  const shown = getFieldDisplayValues({ data: frames, fieldConfig: config, replaceVariables: same, theme,
    reduceOptions: panel.options.reduceOptions, timeZone: 'utc' });
  return <BigValue width={width} height={height} theme={theme} value={shown[0].display} textMode={panel.options.textMode}
    colorMode={panel.options.colorMode} graphMode="none" justifyMode={panel.options.justifyMode} />;
}

function Table({ panel, frames, config, width, height }) {
  const [table, setTable] = useState();
  useEffect(() => {
    const done = transformDataFrame(panel.transformations, frames, { interpolate: same }).subscribe(found => {
      const looking = looks(found, config);
      cacheFieldDisplayNames(looking);
      setTable(looking[0]);
    });
    return () => done.unsubscribe();
  }, []);
  if (!frames.length) return <Nothing config={config} />;
  return table ? <TableNG data={table} width={width} height={height} sortBy={panel.options.sortBy}
    cellHeight={panel.options.cellHeight} fieldConfig={config} noValue={config.defaults.noValue}
    enableVirtualization={false} /> : null;
}

function Graph({ panel, frames, answers, range, marks, width, height }) {
  const seen = new WeakSet();
  const overlay = config => {
    if (!seen.has(config)) {
      seen.add(config);
      config.addHook('draw', u => dots(u, theme, marks, answers.flatMap(answer => answer.exemplars)));
    }
    return null;
  };
  return <TimeSeries frames={frames} width={width} height={height} timeRange={range} timeZone="utc" theme={theme}
    legend={panel.options.legend} options={panel.options} structureRev={1}>{overlay}</TimeSeries>;
}

function Nothing({ config }) {
  return <div style={{ height: '100%', display: 'flex', alignItems: 'center', justifyContent: 'center',
    color: theme.colors.text.secondary }}>{config.defaults.noValue}</div>;
}

function Content(props) {
  const { panel, answers, config } = props;
  const raw = framesOf(panel, answers);
  if (panel.type === 'table') return <Table {...props} frames={raw} />;
  const frames = looks(raw, config);
  if (panel.type === 'stat') return <Stat {...props} frames={frames} />;
  if (!frames.length) return <Nothing config={config} />;
  switch (panel.type) {
    case 'timeseries': return <Graph {...props} frames={frames} />;
    case 'heatmap': return <Heatmap {...props} theme={theme} />;
    default: return <States {...props} frames={frames} theme={theme} />;
  }
}

function Panel({ panel, answers, range, marks, top }) {
  const { x, y, w, h } = panel.gridPos;
  const width = w * COLUMN + (w - 1) * GAP, height = h * CELL + (h - 1) * GAP;
  const place = { position: 'absolute', left: MARGIN + x * (COLUMN + GAP), top: top + y * (CELL + GAP), width, height };
  if (panel.type === 'row') return <div style={{ ...place, font: `500 16px ${theme.typography.fontFamily}` }}>{`${ROWS}  ${panel.title}`}</div>;
  const inside = { panel, answers, config: fieldConfig(panel), range, marks };
  return <div style={place}><PanelChrome title={panel.title} width={width} height={height}>
    {(innerWidth, innerHeight) => <Content {...inside} width={innerWidth} height={innerHeight} />}
  </PanelChrome></div>;
}

function Board({ board, marks, start, end, rows }) {
  const from = dateTime(start * 1000), to = dateTime(end * 1000);
  const range = { from, to, raw: { from, to } };
  const headings = board.panels.filter(({ panel }) => panel.type === 'row').map(({ panel }) => panel.gridPos.y);
  const bottom = headings[rows] ?? Math.max(...board.panels.map(({ panel }) => panel.gridPos.y + panel.gridPos.h));
  return <div style={{ position: 'relative', width: WIDTH, height: HEADING + bottom * (CELL + GAP) + MARGIN / 2, overflow: 'hidden' }}>
    <div style={{ position: 'absolute', left: MARGIN, top: 12, font: `500 18px ${theme.typography.fontFamily}` }}>{board.title}</div>
    {board.panels.filter(({ panel }) => panel.gridPos.y < bottom).map(({ panel, answers }, place) =>
      <Panel key={place} panel={panel} answers={answers} range={range} marks={marks} top={HEADING} />)}
  </div>;
}

const [uid, rows] = location.hash.slice(1).split(',');
const style = document.createElement('style');
style.textContent = `
  * { box-sizing: border-box } h1, h2, h3, h4, h5, h6, p, ul { margin: 0; padding: 0; font-weight: inherit }
  button { background: none; border: 0; padding: 0; font: inherit; color: inherit } a { color: inherit; text-decoration: none }
  .sr-only { position: absolute; width: 1px; height: 1px; overflow: hidden; clip: rect(0, 0, 0, 0) }
  table { border-collapse: collapse; border-spacing: 0 } ul { list-style: none }
  body { margin: 0; background: ${theme.colors.background.canvas}; color: ${theme.colors.text.primary};
    font: 400 14px/1.57 ${theme.typography.fontFamily} }`;
document.head.append(style);
Promise.all(['400 12px Inter', '500 14px Inter'].map(font => document.fonts.load(font))).then(() => {
  const { boards, marks, start, end } = window.BOARDS;
  Date.now = () => end * 1000;  // "a minute ago" counts from when it was asked
  createRoot(document.body.appendChild(document.createElement('main'))).render(
    <ThemeContext.Provider value={theme}>
      <Board board={boards[uid]} marks={marks} start={start} end={end} rows={Number(rows)} />
    </ThemeContext.Provider>);
  setTimeout(() => { document.body.dataset.drawn = 'yes'; }, 2500);  // tables measure themselves first
});
