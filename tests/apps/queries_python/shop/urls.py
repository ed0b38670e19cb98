"""A shop whose every endpoint that asks badly has a twin that does not."""

from django.db import connection
from django.http import HttpResponse, JsonResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

from shop.models import Customer, Item, Order, Setting


def shown(items):
    return [{"product": item.product, "cents": item.cents} for item in items]


def orders(_, found=Order.objects.order_by("-placed", "id")):
    return JsonResponse([{"id": order.id, "items": shown(order.items.all())} for order in found[:12]], safe=False)


def orders_joined(request):
    return orders(request, Order.objects.order_by("-placed", "id").prefetch_related("items"))


def items(_, order):
    return JsonResponse(shown(Item.objects.filter(order_id=order)), safe=False)


def customer(_, customer):
    return JsonResponse(Customer.objects.get(pk=customer).name, safe=False)


def all_settings():
    return {setting.name: setting.value for setting in Setting.objects.all()}


def settings(_):
    names = ["theme", "currency", "language", "logo", "footer", "contact"]
    return JsonResponse({name: all_settings()[name] for name in names})


def settings_once(_):
    return JsonResponse(all_settings())


def count(columns):
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {columns} FROM settings WHERE name = 'theme'")
        return JsonResponse(cursor.fetchone()[0], safe=False)


def slow(_):
    return count("count(*), pg_sleep(0.7)::text")


def quick(_):
    return count("count(*)")


def rows():
    return [Item(order_id=number + 1, product=f"imported {number}", cents=100) for number in range(12)]


@csrf_exempt
def imported(_):
    for row in rows():
        row.save()
    return HttpResponse(status=204)


@csrf_exempt
def imported_at_once(_):
    Item.objects.bulk_create(rows())
    return HttpResponse(status=204)


urlpatterns = [
    path("orders", orders),
    path("orders/joined", orders_joined),
    path("orders/<int:order>/items", items),
    path("customers/<int:customer>", customer),
    path("settings", settings),
    path("settings/once", settings_once),
    path("slow", slow),
    path("quick", quick),
    path("import", imported),
    path("import/batch", imported_at_once),
]
