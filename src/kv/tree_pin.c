/* Pins of the tree, and the memory that waits for them.
 *
 * An object made in generation b and replaced in generation d is seen by the pins with
 * b <= pin < d. It is listed with the newest of them. Once that pin is released, the object
 * goes to the next older pin, if that one is not older than b, and else is freed. */
#include "base/mem.h"
#include "kv/tree_internal.h"

static void pin_keep(struct tree_pin *pin, struct tree_object *object)
{
    INVARIANT(object->generation <= pin->generation);
    object->retired_next = pin->retired;
    pin->retired = object;
}

void tree_retire(struct tree *tree, struct tree_object *object)
{
    if (tree_is_shared(tree, object)) {
        pin_keep(tree->newest, object);
        tree->retired_count++;
    } else {
        mem_free(object);
    }
}

void tree_object_init(const struct tree *tree, struct tree_object *object)
{
    *object = (struct tree_object){.generation = tree->generation};
}

bool tree_is_pinned(const struct tree *tree, const struct tree_object *object)
{
    return tree_is_shared(tree, object);
}

/* The next older pin, NULL: none. Released ones count: their lists are emptied in their turn. */
static struct tree_pin *older_pin(const struct tree *tree, const struct list *link)
{
    return link->prev == &tree->pins ? NULL : CONTAINER_OF(link->prev, struct tree_pin, link);
}

struct tree_pin *tree_pin(struct tree *tree)
{
    struct tree_pin *pin = mem_alloc(sizeof *pin);
    pin->generation = tree->generation++;
    pin->root = tree->root;
    pin->items_count = tree->items_count;
    list_push_back(&tree->pins, &pin->link);
    list_init(&pin->released_link);
    tree->newest = pin;
    tree->pins_count++;
    return pin;
}

struct tree_view tree_pin_view(const struct tree_pin *pin)
{
    REQUIRE(!pin->is_released);
    return (struct tree_view){.root = pin->root, .items_count = pin->items_count};
}

/* The released pin's turn: one object of its list, or the pin itself when it has none left. */
static void collect_one(struct tree *tree, struct tree_pin *pin)
{
    struct tree_object *object = pin->retired;
    if (object == NULL) {
        list_remove(&pin->link);
        list_remove(&pin->released_link);
        mem_free(pin);
        return;
    }
    pin->retired = object->retired_next;
    struct tree_pin *older = older_pin(tree, &pin->link);
    if (older != NULL && object->generation <= older->generation) {
        pin_keep(older, object);
    } else {
        tree->retired_count--;
        mem_free(object);
    }
}

bool tree_collect(struct tree *tree, size_t objects_max)
{
    for (; objects_max > 0 && !list_is_empty(&tree->released); objects_max--)
        collect_one(tree, CONTAINER_OF(tree->released.next, struct tree_pin, released_link));
    return !list_is_empty(&tree->released);
}

void tree_unpin(struct tree *tree, struct tree_pin *pin)
{
    REQUIRE(!pin->is_released);
    pin->is_released = true;
    pin->root = NULL;
    list_push_back(&tree->released, &pin->released_link);
    tree->pins_count--;
    while (tree->newest != NULL && tree->newest->is_released)
        tree->newest = older_pin(tree, &tree->newest->link);
    (void)tree_collect(tree, TREE_COLLECT_PER_WRITE);
    ENSURE((tree->newest == NULL) == (tree->pins_count == 0));
}
