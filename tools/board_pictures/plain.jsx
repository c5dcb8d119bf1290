// What Grafana's packages lack, drawn plainly from the same data, with the same colours, texts and units: heatmaps,
// state timelines, status histories, and the marks on graphs.

import { getValueFormat } from '@grafana/data';
import { interpolateTurbo } from 'd3-scale-chromatic';

const LABELS = 100, AXIS = 22, LEGEND = 24, TEXT = 12;

const seconds = moment => moment.valueOf() / 1000;
const clock = time => new Date(time * 1000).toISOString().slice(11, 19);

function across(range, width, left) {
  const start = seconds(range.from), end = seconds(range.to);
  return time => left + (time - start) / (end - start) * (width - left);
}

function Times({ range, x, y, theme }) {
  const start = seconds(range.from), end = seconds(range.to);
  const every = [30, 60, 120, 300, 600, 900].find(step => (end - start) / step <= 8) ?? 3600;
  const times = [];
  for (let time = Math.ceil(start / every) * every; time <= end; time += every) times.push(time);
  return times.map(time => <text key={time} x={x(time)} y={y} fontSize={TEXT} textAnchor="middle"
    fill={theme.colors.text.primary}>{clock(time)}</text>);
}

// --- states over time -----------------------------------------------------------------

function stretches(field, times, step, merge) {
  const found = [];
  field.values.forEach((value, at) => {
    if (value === null) return;
    const last = found.at(-1), time = times[at] / 1000;
    if (merge && last && last.value === value && time - last.end < step / 2) last.end = time + step;
    else found.push({ value, start: time, end: time + step });
  });
  return found;
}

export function States({ panel, frames, answers, config, range, width, height, theme }) {
  const history = panel.type === 'status-history';
  const named = frames.map(frame => ({ name: frame.name, field: frame.fields[1], times: frame.fields[0].values }));
  const left = Math.min(240, Math.max(LABELS, ...named.map(({ name }) => name.length * 6.6 + 12)));
  const x = across(range, width - 8, left), tall = (height - AXIS - LEGEND) / named.length;
  const step = answers[0].step, bar = Math.min(tall * 0.9, 40);
  const meanings = Object.values(config.defaults.mappings[0]?.options ?? {});
  return <svg width={width} height={height} fontFamily={theme.typography.fontFamily}>
    {named.map(({ name, field, times }, row) => {
      const middle = (row + 0.5) * tall;
      return <g key={row}>
        <text x={left - 8} y={middle + 4} fontSize={TEXT} textAnchor="end" fill={theme.colors.text.primary}>{name}</text>
        {stretches(field, times, step, !history).map(({ value, start, end }, at) => {
          const { text, color } = field.display(value);
          const from = Math.max(left, x(start)), wide = Math.min(x(end), width - 8) - from;
          if (wide <= 0) return null;
          return <g key={at}>
            <rect x={from} width={wide * (history ? 0.9 : 1)} y={middle - bar / 2} height={bar} fill={color} fillOpacity={0.8} />
            {!history && wide > text.length * 8 && <text x={from + 6} y={middle + 4} fontSize={TEXT}
              fill={theme.colors.getContrastText(color)}>{text}</text>}
          </g>;
        })}
      </g>;
    })}
    <Times range={range} x={x} y={height - LEGEND - 6} theme={theme} />
    <g transform={`translate(8, ${height - 8})`}>{meanings.map(({ text, color }, at) => {
      const before = meanings.slice(0, at).reduce((sum, each) => sum + each.text.length * 7 + 36, 0);
      return <g key={at} transform={`translate(${before}, 0)`}>
        <rect width={14} height={4} y={-6} rx={2} fill={theme.visualization.getColorByName(color)} />
        <text x={20} fontSize={TEXT} fill={theme.colors.text.primary}>{text}</text>
      </g>;
    })}</g>
  </svg>;
}

// --- heatmaps -------------------------------------------------------------------------

/** Return the rows of a heatmap from below: cumulative buckets, each less the one before it. */
function buckets(series) {
  const bound = each => each.metric.le === '+Inf' ? Infinity : Number(each.metric.le);
  let below = new Map();
  return [...series].sort((a, b) => bound(a) - bound(b)).map(each => {
    const counts = new Map(each.values.map(([time, count]) => [time, Number(count)]));
    const cells = [...counts].map(([time, count]) => ({ time, count: count - (below.get(time) ?? 0) }));
    below = counts;
    return { bound: bound(each), cells };
  });
}

export function Heatmap({ panel, answers, range, width, height, theme }) {
  const [{ result, step, exemplars }] = answers;
  const rows = buckets(result), left = 64, ground = height - AXIS;
  const x = across(range, width - 8, left), tall = ground / rows.length, wide = x(step) - x(0);
  const most = Math.max(...rows.flatMap(row => row.cells.map(cell => cell.count)));
  const format = getValueFormat(panel.options.yAxis.unit), every = Math.ceil(14 / tall);
  const colour = count => interpolateTurbo((count / most) ** panel.options.color.exponent);
  return <svg width={width} height={height} fontFamily={theme.typography.fontFamily}>
    {rows.map((row, at) => <g key={at}>
      {at % every === 0 && <text x={left - 6} y={ground - at * tall - tall / 2 + 4} fontSize={TEXT} textAnchor="end"
        fill={theme.colors.text.primary}>{row.bound === Infinity ? '+Inf' : `${format(row.bound).text}${format(row.bound).suffix ?? ''}`}</text>}
      {row.cells.filter(cell => cell.count > panel.options.filterValues.le && x(cell.time) < width - 8).map(cell =>
        <rect key={cell.time} x={Math.max(left, x(cell.time) - wide)} y={ground - (at + 1) * tall} fill={colour(cell.count)}
          width={Math.max(1, Math.min(wide, x(cell.time) - left) - 1)} height={Math.max(1, tall - 1)} />)}
    </g>)}
    {exemplars.filter(({ time }) => x(time) >= left && x(time) <= width - 8).map(({ time, value }, at) => {
      const row = rows.findIndex(each => value <= each.bound);
      return <circle key={at} cx={x(time)} cy={ground - (row + 0.5) * tall} r={2} fill={panel.options.exemplars.color} />;
    })}
    <Times range={range} x={x} y={height - 6} theme={theme} />
  </svg>;
}

// --- marks on graphs ------------------------------------------------------------------

/** Draw annotations as dashed lines and exemplars as dots. */
export function dots(u, theme, marks, exemplars) {
  const { ctx, bbox } = u;
  ctx.save();
  ctx.setLineDash([4, 4]);
  for (const { time, colour } of marks) {
    const at = u.valToPos(time * 1000, 'x', true);
    if (at < bbox.left || at > bbox.left + bbox.width) continue;
    ctx.strokeStyle = theme.visualization.getColorByName(colour);
    ctx.beginPath();
    ctx.moveTo(at, bbox.top);
    ctx.lineTo(at, bbox.top + bbox.height);
    ctx.stroke();
  }
  const scale = u.series[1]?.scale;
  ctx.fillStyle = theme.colors.text.link;
  for (const { time, value } of scale ? exemplars : []) {
    const at = u.valToPos(time * 1000, 'x', true), y = u.valToPos(value, scale, true);
    if (at < bbox.left || at > bbox.left + bbox.width || y < bbox.top || y > bbox.top + bbox.height) continue;
    ctx.beginPath();
    ctx.arc(at, y, 2.5, 0, 2 * Math.PI);
    ctx.fill();
  }
  ctx.restore();
}
