// Copyright: (c) 2026, linode_coder contributors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// What nginx cannot say by itself: the hash of a key, and the tokens that an answer names. Written for njs 0.7 and newer. Every request
// has its own copy of the variables here.

import crypto from 'crypto';

const BEARER = /^bearer ([A-Za-z0-9_-]{16,128})$/i;
const KEY = /^[A-Za-z0-9_-]{16,128}$/;
// Longer documents are passed on unread: what is read here costs memory until its request ends.
const MOST = 4 << 20;
const MOST_OF_EVENT = 2 << 20;
const END_OF_EVENT = '\n\n';
const NOTHING = Buffer.from('');

let pieces = [];
let length = 0;
let held = NOTHING;

// Hex SHA-256 of the key that was sent, or nothing. A header that was sent twice matches neither pattern.
function key_hash(r) {
    const bearer = BEARER.exec(r.headersIn['Authorization'] || '');
    const other = r.headersIn['X-Api-Key'] || '';
    const key = bearer ? bearer[1] : !r.headersIn['Authorization'] && KEY.test(other) ? other : '';
    return key ? crypto.createHash('sha256').update(key).digest('hex') : '';
}

// The body that the engine gets: a stream is asked to end with its usage, which is taken out again for who did not ask for it.
function body(r) {
    const text = r.requestText || '';
    const asked = text.length < MOST ? document_in(text) : null;
    if (!asked || asked.stream !== true || (asked.stream_options && asked.stream_options.include_usage === true)) {
        return text;
    }
    r.variables.usage_added = '1';
    if (asked.stream_options) {
        asked.stream_options.include_usage = true;
        return JSON.stringify(asked);
    }
    // As text, so that no number of the rest is written otherwise than it was.
    return text.slice(0, text.lastIndexOf('}')) + ',"stream_options":{"include_usage":true}}';
}

function note(r, usage) {
    if (!usage) {
        return;
    }
    const read = usage.prompt_tokens !== undefined ? usage.prompt_tokens : usage.input_tokens;
    const written = usage.completion_tokens !== undefined ? usage.completion_tokens : usage.output_tokens;
    if (read > 0) {
        r.variables.tokens_in = String(Math.floor(read));
    }
    if (written >= 0) {
        r.variables.tokens_out = String(Math.floor(written));
    }
}

// The document of OpenAI's or Anthropic's API that is in this text, if one is.
function document_in(text) {
    try {
        return JSON.parse(text);
    } catch (e) {
        return null;
    }
}

function count(r, found) {
    if (found) {
        note(r, found.usage);
        note(r, found.message && found.message.usage);
        note(r, found.response && found.response.usage);
    }
}

// The events as they go on to the client.
function events(r, text) {
    return text
        .split(END_OF_EVENT)
        .filter(event => {
            const at = event.indexOf('data: {');
            const found = at >= 0 && event.indexOf('"usage"') >= 0 ? document_in(event.slice(at + 6)) : null;
            count(r, found);
            return !(found && found.usage && found.choices && !found.choices.length && r.variables.usage_added === '1');
        })
        .join(END_OF_EVENT);
}

function answer(r, data, flags) {
    if (!(r.headersOut['Content-Type'] || '').startsWith('text/event-stream')) {
        length += data.length;
        if (length < MOST) {
            // A copy: the memory behind it is used again.
            pieces.push(Buffer.from(data));
            if (flags.last) {
                count(r, document_in(Buffer.concat(pieces).toString()));
            }
        }
        r.sendBuffer(data, flags);
        return;
    }
    // Whole events only: those that the engine wrote at once go on at once.
    const all = held.length ? Buffer.concat([held, data]) : data;
    const last = all.lastIndexOf(END_OF_EVENT);
    const end = flags.last || all.length > MOST_OF_EVENT ? all.length : last < 0 ? 0 : last + END_OF_EVENT.length;
    held = end < all.length ? Buffer.from(all.slice(end)) : NOTHING;
    if (end || flags.last) {
        const whole = all.slice(0, end);
        r.sendBuffer(whole.indexOf('"usage"') < 0 ? whole : events(r, whole.toString()), flags);
    }
}

export default { key_hash, body, answer };
