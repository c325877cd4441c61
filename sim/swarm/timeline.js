/* The timeline of one run: lanes of nodes, time from left to right. Within a lane
 *
 *      above the line     requests, from call to answer
 *      on the line        who leads, with the term; off and paused times; commits
 *      below the line     faults, while they last
 *
 * and between the lanes messages, from sent to arrived. The data comes from timeline.c. */
'use strict';
const run = JSON.parse(document.getElementById('data').textContent);
const $ = id => document.getElementById(id);
const SECOND = 1e6, GUTTER = 44, AXIS = 22, CLUSTER = 30, ROW = 8, LIST_MAX = 500, HEADS_MAX = 1500;

/* ---- what the run was ---- */

/* A lane is a node or, behind the nodes, the machine of a customer; 0 is the cluster. */
const laneOf = (node, other) => node === 0 && other > run.nodes ? other : node;
const events = run.events.map(([at, sign, node, other, a, b, text]) =>
  ({at, sign, node: laneOf(node, other), other, a, b, text}));
const customers = [...new Set(events.map(e => e.node).filter(node => node > run.nodes))].sort();
const lanesCount = run.nodes + customers.length;
const nameOf = node => node === 0 ? '' : node <= run.nodes ? 'n' + node :
  'c' + (customers.indexOf(node) + 1);
const messages = run.messages.map(([sent, at, from, node, kind, text]) =>
  ({sent, at, from, node, kind, sign: '~', text: 'n' + from + ' ' + text}));
const begin = run.begin, end = Math.max(run.end, run.begin + 1000);
const healAt = (events.find(e => e.sign === '==' && e.at > begin) || {at: end}).at;

/* From this event to the next of its node that ends it. */
function spans(sign, enders) {
  return events.flatMap((e, i) => {
    if (e.sign !== sign) return [];
    const last = events.slice(i + 1).find(f => f.node === e.node && enders.includes(f.sign));
    return [{...e, until: last ? last.at : end}];
  });
}
const offs = spans('off', ['on']), pauses = spans('zz', ['go', 'off']);
const leaders = spans('L', ['l', 'off']);
const commits = events.filter(e => e.sign === '=');
const marks = events.filter(e => e.sign === '==' || e.sign === 'X');

const faults = events.flatMap((e, i) => {
  if (e.sign !== '!') return [];
  const over = events.slice(i + 1).find(f => f.sign === '+' && f.a === e.a && f.node === e.node &&
                                             f.other === e.other);
  const until = over ? over.at : run.lasting.includes(e.a) ? Math.max(healAt, e.at) : e.at;
  return [{...e, until, isLong: until > e.at}];
});

const answers = new Map(events.filter(e => e.sign === '<').map(e => [e.node + '/' + e.a, e]));
const requests = events.filter(e => e.sign === '>').map(e => {
  const answer = answers.get(e.node + '/' + e.a);
  return {...e, until: answer ? answer.at : end, fate: answer ? run.fates[answer.b] || 'none' : 'open',
          text: e.text + (answer ? '\n-> ' + answer.text.replace(/^#\d+ /, '') : '\n-> no answer')};
});

/* Each where it covers none before it, counted from the line outwards. */
function stack(items, width, rows) {
  const ends = new Map();
  for (const item of items) {
    const used = ends.get(item.node) || ends.set(item.node, Array(rows).fill(-1)).get(item.node);
    let row = used.findIndex(last => last < item.at);
    if (row < 0) row = used.indexOf(Math.min(...used));
    used[row] = Math.max(item.until, item.at + width);
    item.row = row;
  }
}
stack(requests, 5000, 5);
stack(faults, 300000, 4);

/* ---- what is shown ---- */

const layers = {requests: ['applied', 'requests'], commits: ['commit', 'commits'],
                faults: ['fault', 'faults'], votes: ['vote', 'votes, reads, hand-over'],
                appends: ['append', 'appends, heartbeats'], beats: ['beat', 'acknowledgements']};
const shown = {requests: true, commits: true, faults: true, votes: true, appends: true, beats: true};
let from = begin, to = end, wanted = '', cursor = null, hits = [];

const color = name => getComputedStyle(document.documentElement).getPropertyValue('--' + name);
let palette = {};
function readColors() {
  for (const name of ['back', 'text', 'dim', 'line', 'grid', 'panel', 'leader', 'leader-text', 'off',
    'paused', 'applied', 'none', 'maybe', 'open', 'commit', 'fault', 'lasting', 'lasting-text', 'vote',
    'append', 'beat', 'phase', 'bad', 'hit'])
    palette[name] = color(name).trim();
}

const seconds = at => (at / SECOND).toFixed(6) + ' s';
const matches = e => wanted !== '' && (e.text + ' ').includes(wanted);

function show(a, b) {
  const span = Math.min(Math.max(b - a, 200), end - begin), pad = 0.01 * (end - begin);
  from = Math.min(Math.max(a, begin - pad), end + pad - span);
  to = from + span;
  history.replaceState(null, '', '#' + (from / SECOND).toFixed(4) + '-' + (to / SECOND).toFixed(4));
  draw();
}
const zoom = (factor, at = (from + to) / 2) => show(at - (at - from) * factor, at + (to - at) * factor);
const pan = part => show(from + part * (to - from), to + part * (to - from));
const goTo = at => { const half = Math.min(to - from, 2 * SECOND) / 2; show(at - half, at + half); };

/* ---- drawing ---- */

let pen, wide, high, lane;
const x = at => GUTTER + (at - from) / (to - from) * (wide - GUTTER);
const placeOf = node => node <= run.nodes ? node - 1 : run.nodes + customers.indexOf(node);
const y = node => node === 0 ? AXIS + CLUSTER / 2 : AXIS + CLUSTER + lane * (placeOf(node) + .56);
const laneNodes = [...Array(run.nodes).keys()].map(i => i + 1).concat(customers);
const isSeen = (a, b) => b >= from && a <= to;

function fit(canvas, height) {
  const scale = window.devicePixelRatio || 1;
  wide = canvas.clientWidth;
  high = height;
  canvas.style.height = height + 'px';
  canvas.width = wide * scale;
  canvas.height = height * scale;
  pen = canvas.getContext('2d');
  pen.scale(scale, scale);
  pen.font = '11px system-ui,sans-serif';
  pen.fillStyle = palette.back;
  pen.fillRect(0, 0, wide, high);
}

function label(text, left, bottom, room, name) {
  if (room < 24) return;
  while (text.length > 1 && pen.measureText(text).width > room)
    text = text.slice(0, Math.floor(text.length * .9) - 1) + '…';
  if (text.length < 3) return;
  pen.fillStyle = palette[name];
  pen.fillText(text, left, bottom);
}

function box(item, top, height, name, text, textName) {
  if (!isSeen(item.at, item.until ?? item.at)) return;
  const left = Math.max(x(item.at), GUTTER - 2), right = Math.min(x(item.until ?? item.at), wide + 2);
  const width = Math.max(right - left, 2);
  pen.fillStyle = palette[name];
  pen.fillRect(left, top, width, height);
  if (matches(item)) {
    pen.strokeStyle = palette.text;
    pen.lineWidth = 2;
    pen.strokeRect(left - 2, top - 2, width + 4, height + 4);
    if (!text) label(item.text.replace('\n', ' '), left, top - 5, wide - left - 4, 'text');
  }
  if (text) label(text, left + 3, top + height - 2, width - 5, textName);
  hits.push({item, left: left - 2, right: left + width + 2, top: top - 1, bottom: top + height + 1});
}

/* Lines on a round step of time. */
function axis() {
  const rough = (to - from) / Math.max(wide / 90, 2), power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map(n => n * power).find(n => n >= rough);
  pen.lineWidth = 1;
  for (let at = Math.ceil(from / step) * step; at <= to; at += step) {
    if (x(at) < GUTTER) continue;
    pen.strokeStyle = palette.grid;
    pen.strokeRect(x(at), AXIS, 0, high);
    pen.fillStyle = palette.dim;
    const digits = Math.max(0, 6 - Math.floor(Math.log10(step)));
    pen.fillText((at / SECOND).toFixed(digits) + ' s', x(at) + 2, 14);
  }
}

function kindShown(m) {
  return shown[m.kind === 'v' ? 'votes' : m.kind === 'e' ? 'appends' : 'beats'];
}

function arrows() {
  const seen = messages.filter(m => kindShown(m) && isSeen(m.sent, m.at));
  const hasHeads = seen.length < HEADS_MAX;
  for (const kind of ['h', 'e', 'v'])
    for (const m of seen) {
      if (m.kind !== kind) continue;
      const ax = x(m.sent), ay = y(m.from), bx = x(m.at), by = y(m.node);
      const isHit = matches(m);
      pen.strokeStyle = pen.fillStyle = palette[isHit ? 'text' : {v: 'vote', e: 'append', h: 'beat'}[kind]];
      pen.globalAlpha = hasHeads || isHit ? .9 : kind === 'v' ? .7 : .3;
      pen.lineWidth = isHit ? 2.5 : kind === 'h' ? .8 : 1.2;
      pen.beginPath();
      pen.moveTo(ax, ay);
      pen.lineTo(bx, by);
      pen.stroke();
      if (hasHeads) {
        const angle = Math.atan2(by - ay, bx - ax), size = 6;
        pen.beginPath();
        pen.moveTo(bx, by);
        pen.lineTo(bx - size * Math.cos(angle - .4), by - size * Math.sin(angle - .4));
        pen.lineTo(bx - size * Math.cos(angle + .4), by - size * Math.sin(angle + .4));
        pen.fill();
      }
      hits.push({item: m, line: [ax, ay, bx, by]});
    }
  pen.globalAlpha = 1;
  return seen.length;
}

function lanes() {
  for (const node of laneNodes) {
    pen.strokeStyle = palette.line;
    pen.lineWidth = 1.5;
    pen.strokeRect(GUTTER, y(node), wide, 0);
  }
  for (const e of leaders) box(e, y(e.node) - 7, 14, 'leader', 'leads, term ' + e.a, 'leader-text');
  for (const e of pauses) box(e, y(e.node) - 8, 16, 'paused', 'paused', 'text');
  for (const e of offs) box(e, y(e.node) - 8, 16, 'off', e.text, 'back');
  if (shown.commits) for (const e of commits) box(e, y(e.node) - 10, 4, 'commit');
  if (shown.requests)
    for (const e of requests)
      box(e, y(e.node) - 18 - e.row * ROW, ROW - 3, e.fate, null);
  if (shown.faults)
    for (const e of faults)
      box(e, e.node === 0 ? AXIS + 15 : y(e.node) + 13 + e.row * 11, e.node === 0 ? 12 : 10,
          e.isLong ? 'lasting' : 'fault', e.isLong ? e.text : null, 'lasting-text');
}

function verticals() {
  for (const e of marks) {
    if (!isSeen(e.at, e.at)) continue;
    const name = e.sign === 'X' ? 'bad' : 'phase';
    pen.strokeStyle = palette[name];
    pen.lineWidth = e.sign === 'X' ? 2.5 : 1.2;
    pen.strokeRect(x(e.at), AXIS, 0, high);
    const width = Math.min(pen.measureText(e.text).width, wide - GUTTER - 8);
    const left = Math.max(GUTTER, x(e.at) + width + 6 > wide ? x(e.at) - width - 6 : x(e.at) + 4);
    pen.fillStyle = palette.back;
    pen.fillRect(left - 1, AXIS + 1, width + 2, 13);
    label(e.text, left, AXIS + 11, wide - left, name);
    hits.push({item: e, left: x(e.at) - 4, right: x(e.at) + 4, top: AXIS, bottom: high});
  }
  if (cursor !== null && isSeen(cursor, cursor)) {
    pen.strokeStyle = palette.dim;
    pen.setLineDash([4, 4]);
    pen.strokeRect(x(cursor), AXIS, 0, high);
    pen.setLineDash([]);
  }
  pen.fillStyle = palette.back;
  pen.fillRect(0, 0, GUTTER - 1, high);
  pen.font = 'bold 14px system-ui,sans-serif';
  for (const node of laneNodes) label(nameOf(node) + ' ', 10, y(node) + 5, 30, 'text');
}

/* The whole run: who leads, how many faults, and where the window stands. */
function overview() {
  fit($('all'), 52);
  const at = t => GUTTER + (t - begin) / (end - begin) * (wide - GUTTER), row = 40 / lanesCount;
  const bar = (e, name, top, height) => {
    pen.fillStyle = palette[name];
    pen.fillRect(at(e.at), top, Math.max(at(e.until) - at(e.at), 1), height);
  };
  for (const e of faults) bar({at: e.at, until: e.at}, 'fault', 0, 5);
  for (const e of offs) bar(e, 'off', 8 + row * placeOf(e.node), row - 1);
  for (const e of pauses) bar(e, 'paused', 8 + row * placeOf(e.node), row - 1);
  for (const e of leaders) bar(e, 'leader', 8 + row * placeOf(e.node), row - 1);
  for (const e of events) if (matches(e)) bar({at: e.at, until: e.at}, 'text', 0, 50);
  for (const e of marks) bar({at: e.at, until: e.at}, e.sign === 'X' ? 'bad' : 'phase', 0, 52);
  pen.strokeStyle = palette.text;
  pen.lineWidth = 1.5;
  pen.strokeRect(at(from), 1, Math.max(at(to) - at(from), 3), 50);
  pen.fillStyle = palette.dim;
  pen.fillText('all', 12, 30);
}

function lineOf(e) {
  const div = document.createElement('div');
  const kind = e.sign === '!' || e.sign === '+' || e.sign === 'off' || e.sign === 'zz' ? 'F' :
               e.sign === '~' ? 'M' : e.sign;
  div.className = kind + (matches(e) ? ' hit' : '');
  div.textContent = seconds(e.at).padStart(13) + '  ' + nameOf(e.node).padEnd(4) +
                    e.sign.padEnd(4) + e.text;
  div.onclick = () => { cursor = e.at; goTo(e.at); };
  return div;
}

let listTimer = 0;
function list() {
  const inside = e => e.at >= from && e.at <= to && (wanted === '' || matches(e));
  let lines = events.filter(inside);
  const talk = messages.filter(m => kindShown(m) && inside(m));
  if (lines.length + talk.length <= LIST_MAX)
    lines = lines.concat(talk).sort((a, b) => a.at - b.at);
  $('count').textContent = lines.length + ' events in the window' + (wanted ? ' with ' + wanted : '') +
    (lines.length > LIST_MAX ? ', the first ' + LIST_MAX + ':' : ':');
  $('list').replaceChildren(...lines.slice(0, LIST_MAX).map(lineOf));
}

function draw() {
  overview();
  lane = Math.min(Math.max((window.innerHeight - 330) / lanesCount, 100), 170);
  fit($('view'), AXIS + CLUSTER + lane * lanesCount);
  hits = [];
  axis();
  const count = arrows();
  lanes();
  verticals();
  $('where').textContent = seconds(Math.max(from, 0)) + ' to ' + seconds(to) + ', ' +
    count + ' messages' + (count < HEADS_MAX ? '' : ' (zoom in for arrow heads)');
  clearTimeout(listTimer);
  listTimer = setTimeout(list, 60);
}

/* ---- pointing ---- */

function distance([ax, ay, bx, by], px, py) {
  const dx = bx - ax, dy = by - ay, length = dx * dx + dy * dy || 1;
  const part = Math.min(Math.max(((px - ax) * dx + (py - ay) * dy) / length, 0), 1);
  return Math.hypot(px - ax - part * dx, py - ay - part * dy);
}

function under(px, py) {
  const boxes = hits.filter(h => h.left !== undefined && px >= h.left && px <= h.right &&
                                 py >= h.top && py <= h.bottom);
  if (boxes.length > 0) return boxes.slice(-6).map(h => h.item);
  return hits.filter(h => h.line).map(h => [distance(h.line, px, py), h.item])
    .filter(([far]) => far < 4).sort((a, b) => a[0] - b[0]).slice(0, 4).map(([, item]) => item);
}

function describe(e) {
  const when = e.sign === '~' ? seconds(e.at) + ', sent ' + ((e.at - e.sent) / 1000).toFixed(3) +
    ' ms before' : seconds(e.at) + (e.until > e.at ? ', ' + ((e.until - e.at) / 1000).toFixed(3) + ' ms' : '');
  return when + (e.node && e.sign !== '~' ? '  ' + nameOf(e.node) : '') + '\n' + e.text;
}

let grip = null;
$('view').onpointermove = event => {
  const area = $('view').getBoundingClientRect(), tip = $('tip');
  if (grip !== null) {
    const shift = (grip.x - event.clientX) / (area.width - GUTTER) * (grip.to - grip.from);
    grip.moved = grip.moved || Math.abs(event.clientX - grip.x) > 3;
    show(grip.from + shift, grip.to + shift);
    return;
  }
  const found = under(event.clientX - area.left, event.clientY - area.top);
  tip.style.display = found.length > 0 ? 'block' : 'none';
  tip.textContent = found.map(describe).join('\n');
  tip.style.left = Math.min(event.clientX + 14, window.innerWidth - tip.offsetWidth - 8) + 'px';
  tip.style.top = Math.min(event.clientY + 14, window.innerHeight - tip.offsetHeight - 8) + 'px';
};
$('view').onpointerdown = event => {
  grip = {x: event.clientX, from, to, moved: false};
  $('view').setPointerCapture(event.pointerId);
};
$('view').onpointerup = event => {
  const area = $('view').getBoundingClientRect();
  if (grip !== null && !grip.moved) {
    const found = under(event.clientX - area.left, event.clientY - area.top)[0];
    if (found) {
      cursor = found.at;
      const name = found.text.match(/^#\d+ /);
      if (name) $('find').value = wanted = name[0];
      draw();
    }
  }
  grip = null;
};
$('view').onpointerleave = () => { $('tip').style.display = 'none'; };
$('view').addEventListener('wheel', event => {
  if (!event.ctrlKey && !event.metaKey && Math.abs(event.deltaX) > Math.abs(event.deltaY))
    pan(event.deltaX / wide);
  else
    zoom(event.deltaY > 0 ? 1.25 : .8, from + (event.offsetX - GUTTER) / (wide - GUTTER) * (to - from));
  event.preventDefault();
}, {passive: false});

let isScrolling = false;
function scroll(event) {
  const at = begin + (event.offsetX - GUTTER) / ($('all').clientWidth - GUTTER) * (end - begin);
  const span = to - from > .9 * (end - begin) ? 5 * SECOND : to - from;
  show(at - span / 2, at + span / 2);
}
$('all').onpointerdown = event => {
  isScrolling = true;
  $('all').setPointerCapture(event.pointerId);
  scroll(event);
};
$('all').onpointermove = event => { if (isScrolling) scroll(event); };
$('all').onpointerup = () => { isScrolling = false; };

function showFailure() {
  const bad = marks.find(e => e.sign === 'X');
  const named = bad && requests.find(e => e.text.startsWith((bad.text.match(/#\d+ /) || ['-'])[0]));
  if (named) {
    $('find').value = wanted = named.text.match(/^#\d+ /)[0];
    const span = Math.max(1.5 * (named.until - named.at), SECOND);
    show(named.at - .2 * span, named.at + span);
  } else if (bad) {
    show(bad.at - 3 * SECOND, bad.at + .15 * SECOND);
  }
}

const keys = {'+': () => zoom(.6), '=': () => zoom(.6), '-': () => zoom(1.6), 0: () => show(begin, end),
              ArrowLeft: () => pan(-.3), ArrowRight: () => pan(.3), f: showFailure,
              '/': () => $('find').focus()};
window.onkeydown = event => {
  if (event.target === $('find') || event.ctrlKey || event.metaKey || !keys[event.key]) return;
  keys[event.key]();
  event.preventDefault();
};
for (const [id, key] of [['in', '+'], ['out', '-'], ['left', 'ArrowLeft'], ['right', 'ArrowRight'],
                         ['whole', 0], ['failure', 'f']])
  $(id).onclick = keys[key];
$('find').oninput = () => { wanted = $('find').value; draw(); };

/* ---- begin ---- */

for (const [name, [key, text]] of Object.entries(layers)) {
  const line = document.createElement('label'), check = document.createElement('input');
  const square = document.createElement('span');
  check.type = 'checkbox';
  check.checked = true;
  check.onchange = () => { shown[name] = check.checked; draw(); };
  square.className = 'key';
  square.style.background = 'var(--' + key + ')';
  line.append(check, square, text);
  $('layers').append(line);
}
for (const [key, text] of [['leader', 'leads'], ['off', 'off'], ['paused', 'paused'],
    ['applied', 'request: applied'], ['none', 'effect none, or a read'], ['maybe', 'effect maybe'],
    ['open', 'no answer'], ['fault', 'fault'], ['lasting', 'fault while it lasts']]) {
  const item = document.createElement('span'), square = document.createElement('span');
  square.className = 'key';
  square.style.background = 'var(--' + key + ')';
  item.append(square, text);
  $('layers').append(item);
}
document.title = 'minikv-sim, seed ' + run.seed + ': ' + run.verdict;
$('title').textContent = 'Seed ' + run.seed + ': ' + run.verdict;
$('about').textContent = run.about;
if (run.oracle) {
  const what = document.createElement('b'), again = document.createElement('code');
  what.textContent = run.oracle + ': ';
  again.textContent = run.again;
  $('bad').append(what, run.text, document.createElement('br'), again);
} else {
  $('failure').style.display = 'none';
}
readColors();
const window0 = location.hash.match(/^#([\d.]+)-([\d.]+)$/);
if (window0) show(window0[1] * SECOND, window0[2] * SECOND);
else if (run.oracle) showFailure();
else show(begin, Math.min(end, begin + 10 * SECOND));
window.onresize = draw;
matchMedia('(prefers-color-scheme: dark)').onchange = () => { readColors(); draw(); };
