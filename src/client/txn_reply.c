#include "client/txn_reply.h"

/* ---- results ---- */

static void read_item(struct reader *reader, struct txn_found *found)
{
    struct bytes name;
    reader_object(reader);
    while (reader_member(reader, &name))
        if (bytes_equal_text(name, "create_revision"))
            reader_u64(reader, &found->create_revision);
        else if (bytes_equal_text(name, "mod_revision"))
            reader_u64(reader, &found->mod_revision);
        else if (bytes_equal_text(name, "lease"))
            reader_u64(reader, &found->lease);
        else
            reader_skip(reader);
}

static void read_first(struct reader *reader, struct txn_found *found)
{
    bool is_first = true;
    reader_array(reader);
    while (reader_element(reader)) {
        if (is_first)
            read_item(reader, found);
        else
            reader_skip(reader);
        is_first = false;
    }
}

static void read_get(struct txn_reply *reply, struct reader *reader)
{
    struct bytes name;
    struct txn_found found = {0};
    reader_object(reader);
    while (reader_member(reader, &name))
        if (bytes_equal_text(name, "items"))
            read_first(reader, &found);
        else
            reader_skip(reader);
    if (reply->found_count < TXN_FOUND_MAX)
        reply->found[reply->found_count++] = found;
}

static void read_result(struct txn_reply *reply, struct reader *reader)
{
    struct bytes name;
    reader_object(reader);
    while (reader_member(reader, &name)) {
        if (bytes_equal_text(name, "get")) {
            read_get(reply, reader);
        } else {
            reply->has_changes = true;
            reader_skip(reader);
        }
    }
}

/* ---- the whole ---- */

bool txn_reply_member(struct txn_reply *reply, struct reader *reader, struct bytes name)
{
    if (bytes_equal_text(name, "succeeded")) {
        reply->is_one = true;
        reply->has_succeeded = reader_true(reader);
        if (!reply->has_succeeded)
            reader_skip(reader);
    } else if (bytes_equal_text(name, "revision")) {
        reader_u64(reader, &reply->revision);
    } else if (bytes_equal_text(name, "results")) {
        reader_array(reader);
        while (reader_element(reader))
            read_result(reply, reader);
    } else {
        return false;
    }
    return true;
}

bool txn_reply_read(struct bytes body, struct txn_reply *out_reply)
{
    struct reader reader;
    struct bytes name;
    struct txn_reply reply = {0};
    reader_init(&reader, body);
    reader_object(&reader);
    while (reader_member(&reader, &name))
        if (!txn_reply_member(&reply, &reader, name))
            reader_skip(&reader);
    if (!reader_end(&reader) || !reply.is_one)
        return false;
    *out_reply = reply;
    return true;
}
